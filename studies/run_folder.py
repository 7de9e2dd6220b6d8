"""results/<study>/<run_id>/ and everything's place in it. Results can also be in an object store: then the folder is a working copy."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from bsd_core.errors import ConfigError, StorageError, one_line, why
from bsd_core.whole_file import write_whole
from studies.ledger import Ledger
from studies.mirror import Mirror, working_copy
from studies.remote_folder import RemoteFolder
from studies.screen import our_console, say
from studies.spec import StudySpec
from studies.study_file import check_spec
from studies.yaml_strict import dump_yaml, parse_yaml, read_yaml

_MAPPINGS: Final = ("packages", "machine", "data", "test")  # in provenance.json


@dataclass(frozen=True)
class RunFolder:
    """One run of a study.

    Attributes:
        study: name of the study, possibly with one `/`.
        path: results/<study>/<run_id>.
        mirror: keeps it in step with an object store, where the results are; None where they are in `path` itself.
    """

    study: str
    path: Path
    mirror: Mirror | None = field(default=None, compare=False)

    @classmethod
    def at(cls, study: str, place: Path | RemoteFolder) -> RunFolder:
        """The run that is, or will be, there."""
        if isinstance(place, Path):
            return cls(study, place)
        path = working_copy(place)
        return cls(study, path, Mirror(place, path))

    @property
    def place(self) -> Path | RemoteFolder:
        """Where its results are; as text, what commands take: `path`, or a URI."""
        return self.path if self.mirror is None else self.mirror.remote

    @property
    def run_id(self) -> str:
        """UTC start time and a short hash."""
        return self.path.name

    @property
    def ledger(self) -> Path:
        """The truth."""
        return self.path / "ledger.jsonl"

    @property
    def tables(self) -> Path:
        """Folder of the four Parquet files."""
        return self.path / "tables"

    @property
    def predictions(self) -> Path:
        """Folder of the logits that trials of the confirm phase keep, a file a trial."""
        return self.tables / "predictions"

    @property
    def journal(self) -> Path:
        """Export for optuna-dashboard."""
        return self.path / "optuna.journal"

    @property
    def figures(self) -> Path:
        """Folder of PNG and SVG files."""
        return self.path / "report" / "figures"

    @property
    def page(self) -> Path:
        """The report for a browser."""
        return self.path / "report" / "index.html"

    @property
    def statistics(self) -> Path:
        """Every number of the report."""
        return self.path / "report" / "statistics.json"

    @property
    def labels(self) -> Path:
        """Folder of the noisy labels, a file a condition."""
        return self.path / "labels"

    @property
    def log(self) -> Path:
        """What Ray and others had to say."""
        return self.path / "run.log"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints of trials that have not ended, a folder a trial."""
        return self.path / "checkpoints"

    @property
    def ray(self) -> Path:
        """Ray Tune's own files; nothing is read back from them."""
        return self.path / "ray"

    def spec(self) -> StudySpec:
        """The resolved study of this run, to be read: without torch, for which settings in `fixed` are not held against their methods.

        Raises:
            ConfigError: the run's study.yaml is missing or broken.
        """
        return self._spec(recorded=True)

    def checked_spec(self) -> StudySpec:
        """The same, checked in full as a new study is: to train by, or to compute numbers anew.

        Raises:
            ConfigError: as for `spec`, or a method does not take its settings.
        """
        return self._spec(recorded=False)

    def _spec(self, *, recorded: bool) -> StudySpec:
        document = self.document()
        if isinstance(document, dict):  # a run from before there was a confirm phase does not get one when it is resumed
            document.setdefault("confirm", "none")
        return check_spec(document, where=str(self._study_file), recorded=recorded)

    def document(self) -> Any:
        """What study.yaml holds, as it was written.

        Raises:
            ConfigError: it is missing, or no YAML.
        """
        return read_yaml(self._study_file, where=str(self._study_file))

    @property
    def _study_file(self) -> Path:
        return self.path / "study.yaml"

    def provenance(self) -> dict[str, Any]:
        """What made this run; empty if it never got that far, and without parts that are not what they should be."""
        try:
            return typed_provenance(json.loads((self.path / "provenance.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError):
            return {}

    @property
    def test_opened(self) -> str | None:
        """When its test split was opened (UTC), as the provenance has it; None if it was not."""
        opened = self.provenance().get("test", {}).get("opened")
        return opened if isinstance(opened, str) else None

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold this run for one process.

        Raises:
            ConfigError: another process is at work on it.
        """
        busy = ConfigError(f"Run {self.run_id} of {self.study!r} is still at work in another process; wait for it.")
        if self.mirror is not None:
            with self.mirror.held(lambda: busy, lambda text: say(our_console(), text)):
                yield
            return
        with self._lock_file() as file:
            try:
                for patience in (0.05, 0.1, 0.2, 0.0):  # whoever looks whether the run is at work holds the lock for a moment
                    try:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        break
                    except BlockingIOError:
                        if not patience:
                            raise busy from None
                        time.sleep(patience)
            except OSError as error:
                raise StorageError(f"The file system of {str(self.path)!r} knows no locks ({one_line(error, limit=80)}).") from error
            yield

    def _lock_file(self) -> IO[str]:
        try:
            return (self.path / ".lock").open("w", encoding="utf-8")
        except OSError as error:
            raise StorageError(f"Cannot work in {str(self.path)!r}: {one_line(error, limit=120)}.") from error

    def open_ledger(self) -> Ledger:
        """To append to, for the process that holds the run.

        Raises:
            StorageError: an object store does not answer.
        """
        return Ledger(self.ledger) if self.mirror is None else self.mirror.ledger()

    def share(self) -> str | None:
        """The same for a process that does not hold the run; if that would disturb anyone, the reason why nothing was sent."""
        return None if self.mirror is None else self.mirror.share()

    def push(self) -> None:
        """Send what was written to where the results are, for the process that holds the run.

        Raises:
            StorageError: an object store does not take them.
        """
        if self.mirror is not None:
            self.mirror.push()

    def hurry(self) -> None:
        """From now on nobody waits for an object store that does not answer."""
        if self.mirror is not None:
            self.mirror.hurry()


def typed_provenance(content: Any) -> dict[str, Any]:
    """A provenance as it was read from JSON, without parts that are no mappings where readers look into them."""
    if not isinstance(content, dict):
        return {}
    return {name: value for name, value in content.items() if name not in _MAPPINGS or isinstance(value, dict)}


def create_run(results: Path | RemoteFolder, study: str, spec: StudySpec) -> RunFolder:
    """A new folder with the resolved study in it; `latest` points to it.

    Raises:
        StorageError: it cannot be written.
    """
    text = dump_yaml(spec.model_dump())
    if check_spec(parse_yaml(text, where="study.yaml"), where="study.yaml") != spec:  # before anything is made
        raise ConfigError("The study cannot be written down as YAML and read back; avoid odd characters in its texts.")
    token = hashlib.blake2b(f"{text}{os.getpid()}{time.time_ns()}".encode(), digest_size=3).hexdigest()
    run = RunFolder.at(study, results / study / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{token}")
    link = run.path.parent / "latest"
    if run.mirror is None and link.is_dir() and not link.is_symlink():  # as copies have it that follow links
        raise StorageError(f"{str(link)!r} must be a link to the newest run, but it is a folder. Rename or remove it.")
    try:
        run.path.mkdir(parents=True)
        write_atomically(run.path / "study.yaml", text.encode())
        if run.mirror is None:
            _point_latest(run)
    except OSError as error:
        raise StorageError(
            f"Cannot write results in {str(run.path)!r}: {why(error)}. Choose another RESULTS=dir (--results DIR)."
        ) from error
    if run.mirror is not None:
        run.mirror.push()
        run.mirror.remote.parent.put("latest", run.run_id.encode())
    return run


def _point_latest(run: RunFolder) -> None:
    link = run.path.parent / "latest"
    temporary = run.path.parent / f".latest-{run.run_id}"
    temporary.symlink_to(run.run_id)
    temporary.replace(link)


def check_writable(results: Path | RemoteFolder) -> None:
    """Write a file where the results folder is, or would be made, and remove it; nothing else is made.

    Raises:
        StorageError: that fails.
    """
    if isinstance(results, RemoteFolder):
        results.check_writable()
        return
    place = next((folder for folder in (results, *results.parents) if os.path.exists(folder)), results)
    if os.path.exists(place) and not os.path.isdir(place):
        raise StorageError(
            f"Cannot write results in {str(results)!r}: {str(place)!r} is no folder. Choose another RESULTS=dir (--results DIR)."
        )
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"\0" * 4096)
    except OSError as error:
        raise StorageError(
            f"Cannot write results in {str(results)!r}: {why(error)}. Choose another RESULTS=dir (--results DIR)."
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of one.

    Raises:
        StorageError: it cannot be written.
    """
    write_whole(path, lambda file: file.write(content))
