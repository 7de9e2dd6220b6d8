"""Which runs there are, and how far each is: from studies, ledgers and locks alone, none of which is touched."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from bsd_core.errors import BSDError, ConfigError, one_line
from studies.alive import begun_by_id, is_at_work, started
from studies.lease_look import LeaseLook
from studies.ledger import MEASURED, LedgerReader
from studies.own_files import check_no_links
from studies.remote_folder import RemoteFolder
from studies.remote_ledger import join_parts
from studies.remote_runs import RUN_ID, known_studies
from studies.run_folder import RunFolder, typed_provenance
from studies.run_state import RunState
from studies.spec import StudySpec
from studies.study_file import STUDY_NAME, check_spec
from studies.yaml_strict import parse_yaml

State = Literal["running", "finished", "failed", "interrupted", "unreadable"]
_KNOWN_SLOTS: Final = range(1, 1_000_000)


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """One run.

    Attributes:
        study, run_id: its name and id.
        state: running: a process holds it; finished: nothing is left to train; failed: the same, but an arm gave up, or no confirmed
            setting of an arm came through; interrupted: to be resumed; unreadable: for the `reason`.
        reason: of a run that is failed or unreadable; else None.
        progress: how far it is; None of an unreadable one.
        confirms: whether its study has a confirm phase.
        started: when it was begun, UTC; None if nothing says so.
        seconds_left: of a running one, of the phase that it is in, by the pace of its finished trials; else None.
    """

    study: str
    run_id: str
    state: State
    reason: str | None = None
    progress: RunState | None = None
    confirms: bool = False
    started: datetime | None = None
    seconds_left: float | None = None

    @property
    def confirm_follows(self) -> bool:
        """Whether the run is in its search, and a confirm phase comes after it."""
        return self.confirms and self.progress is not None and self.progress.to_confirm is None


def collect_status(results: Path | RemoteFolder) -> list[RunStatus]:
    """All runs below a results folder, newest first.

    Raises:
        ConfigError: there is no such folder.
        StorageError: an object store cannot be read.
    """
    if isinstance(results, RemoteFolder):
        found = list(_remote_runs(results))
    else:
        if os.path.lexists(results) and not results.is_dir():
            raise ConfigError(f"{str(results)!r} is no folder. Name the results folder by RESULTS=folder (--results FOLDER).")
        found = [_local_status(run) for run in _local_runs(results)]
    return sorted(found, key=lambda run: (run.run_id, run.study), reverse=True)


def run_status(
    study: str, run_id: str, spec: StudySpec, progress: RunState, *, at_work: bool, slots: int, begun: datetime | None
) -> RunStatus:
    """What becomes of a run's progress, given whether a process is at work on it."""
    state: State = "running" if at_work else "interrupted"
    reason = None
    if not at_work and progress.complete:
        state = "finished"
        if lost := progress.without_result:
            state, reason = "failed", f"{', '.join(lost)} gave up or came through with no confirmed training"
    left = progress.seconds_left(slots) if at_work and not progress.complete else None
    return RunStatus(
        study=study,
        run_id=run_id,
        state=state,
        reason=reason,
        progress=progress,
        confirms=spec.confirm is not None,
        started=begun,
        seconds_left=left,
    )


def slots_of(provenance: dict[str, Any]) -> int:
    """How many trials run at once, where the provenance says; else 1."""
    slots = provenance.get("slots")
    return slots if isinstance(slots, int) and slots in _KNOWN_SLOTS else 1


def _local_runs(results: Path) -> Iterator[RunFolder]:
    """results/<study>/<run_id>; a study's name can have one `/`. What is linked is listed where it is."""
    for depth in ("*/*", "*/*/*"):
        for path in results.glob(depth):
            study = path.parent.relative_to(results).as_posix()
            if RUN_ID.fullmatch(path.name) and STUDY_NAME.fullmatch(study) and not path.is_symlink() and path.is_dir():
                yield RunFolder(study, path)


def _local_status(run: RunFolder) -> RunStatus:
    try:
        check_no_links(run.path)
        at_work = is_at_work(run)  # first: what ended before it let go of the lock is then read
        spec = run.spec()
        progress = RunState(spec)
        for event in LedgerReader(run.ledger, without=MEASURED):
            progress.take(event)
    except BSDError as error:
        return RunStatus(study=run.study, run_id=run.run_id, state="unreadable", reason=one_line(error), started=started(run))
    slots = slots_of(run.provenance())
    return run_status(run.study, run.run_id, spec, progress, at_work=at_work, slots=slots, begun=started(run))


def _remote_runs(results: RemoteFolder) -> Iterator[RunStatus]:
    for study in known_studies(results):
        folder = results
        for part in study.split("/"):
            folder /= part
        for run_id in folder.folders():
            if RUN_ID.fullmatch(run_id):
                yield _remote_status(study, folder / run_id)


def _remote_status(study: str, folder: RemoteFolder) -> RunStatus:
    """The same of a run in an object store, of which only the study, the ledger, the lease and the provenance are fetched."""
    begun = begun_by_id(folder.name)
    try:
        at_work = LeaseLook(folder).is_held()  # first, as of a local one
        text = folder.get("study.yaml")
        if text is None:
            raise ConfigError("It has no study.yaml.")
        document = parse_yaml(text.decode(errors="replace"), where="study.yaml")
        if isinstance(document, dict):
            document.setdefault("confirm", "none")
        spec = check_spec(document, where="study.yaml", recorded=True)
        progress = RunState(spec)
        for event in LedgerReader.of_lines(join_parts(folder / "ledger").content.splitlines(keepends=True), without=MEASURED):
            progress.take(event)
        made_by = folder.get("provenance.json") or b"{}"
    except BSDError as error:
        return RunStatus(study=study, run_id=folder.name, state="unreadable", reason=one_line(error), started=begun)
    try:
        provenance = typed_provenance(json.loads(made_by))
    except (ValueError, RecursionError):
        provenance = {}
    return run_status(study, folder.name, spec, progress, at_work=at_work, slots=slots_of(provenance), begun=begun)
