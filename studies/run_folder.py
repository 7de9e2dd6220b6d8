"""results/<study>/<run_id>/ and everything's place in it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bsd_core.errors import ConfigError, StorageError, one_line, shown
from bsd_core.whole_file import write_whole
from studies.spec import StudySpec
from studies.study_file import STUDY_NAME, check_spec
from studies.yaml_strict import dump_yaml, parse_yaml

_MAPPINGS: Final = ("packages", "machine", "data", "test")  # in provenance.json
_RUN_ID: Final = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")


@dataclass(frozen=True)
class RunFolder:
    """One run of a study.

    Attributes:
        study: name of the study, possibly with one `/`.
        path: results/<study>/<run_id>.
    """

    study: str
    path: Path

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
        """The resolved study of this run.

        Raises:
            ConfigError: the run's study.yaml is missing or broken.
        """
        document = self.document()
        if isinstance(document, dict):  # a run from before there was a confirm phase does not get one when it is resumed
            document.setdefault("confirm", "none")
        return check_spec(document, where=str(self._study_file))

    def document(self) -> Any:
        """What study.yaml holds, as it was written.

        Raises:
            ConfigError: it is missing, or no YAML.
        """
        try:
            text = self._study_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self._study_file}: not readable ({one_line(error, limit=100)}).") from error
        return parse_yaml(text, where=str(self._study_file))

    @property
    def _study_file(self) -> Path:
        return self.path / "study.yaml"

    def provenance(self) -> dict[str, Any]:
        """What made this run; empty if it never got that far, and without parts that are not what they should be."""
        try:
            return typed_provenance(json.loads((self.path / "provenance.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
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
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigError(f"Run {self.run_id} of {self.study!r} is still at work in another process; wait for it.") from None
            yield


def typed_provenance(content: Any) -> dict[str, Any]:
    """A provenance as it was read from JSON, without parts that are no mappings where readers look into them."""
    if not isinstance(content, dict):
        return {}
    return {name: value for name, value in content.items() if name not in _MAPPINGS or isinstance(value, dict)}


def create_run(results: Path, study: str, spec: StudySpec) -> RunFolder:
    """A new folder with the resolved study in it; `latest` points to it.

    Raises:
        StorageError: it cannot be written.
    """
    text = dump_yaml(spec.model_dump())
    if check_spec(parse_yaml(text, where="study.yaml"), where="study.yaml") != spec:  # before anything is made
        raise ConfigError("The study cannot be written down as YAML and read back; avoid odd characters in its texts.")
    token = hashlib.blake2b(f"{text}{os.getpid()}{time.time_ns()}".encode(), digest_size=3).hexdigest()
    run = RunFolder(study, results / study / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{token}")
    try:
        run.path.mkdir(parents=True)
        write_atomically(run.path / "study.yaml", text.encode())
        _point_latest(run)
    except OSError as error:
        raise StorageError(
            f"Cannot write results in {str(run.path)!r}: {one_line(error, limit=120)}. Choose another RESULTS=dir."
        ) from error
    return run


def _point_latest(run: RunFolder) -> None:
    link = run.path.parent / "latest"
    temporary = run.path.parent / f".latest-{run.run_id}"
    temporary.symlink_to(run.run_id)
    temporary.replace(link)


def check_writable(results: Path) -> None:
    """Write a file where the results folder is, or would be made, and remove it; nothing else is made.

    Raises:
        StorageError: that fails.
    """
    place = next((folder for folder in (results, *results.parents) if folder.exists()), results)
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"\0" * 4096)
    except OSError as error:
        raise StorageError(
            f"Cannot write results in {str(results)!r}: {one_line(error, limit=120)}. Choose another RESULTS=dir (--results DIR)."
        ) from error


def find_run(results: Path, name: str) -> RunFolder:
    """The newest run of a study, or the run whose folder `name` is.

    Raises:
        ConfigError: there is none.
    """
    path = Path(os.path.expanduser(name))
    if os.path.isfile(path / "study.yaml"):
        path = path.resolve()
        return RunFolder(_study_of(path), path)
    if name.endswith((".yaml", ".yml")):  # a study of the user's own, named as it was started
        name = path.stem
    if STUDY_NAME.fullmatch(name):
        folder = results / name
        latest = folder / "latest"
        if (latest / "study.yaml").is_file():
            return RunFolder(name, latest.resolve())
        runs = sorted(run for run in folder.glob("*") if _RUN_ID.fullmatch(run.name)) if folder.is_dir() else []
        if runs:
            return RunFolder(name, runs[-1])
    known = (
        sorted({link.parent.relative_to(results).as_posix() for link in [*results.glob("*/latest"), *results.glob("*/*/latest")]})
        if results.is_dir()
        else []
    )
    have = f"There are runs of {', '.join(known)}." if known else "There are no runs yet; start one with: make study STUDY=label_noise."
    raise ConfigError(f"No run of {shown(name)} in {str(results)!r}. {have}")


def _study_of(path: Path) -> str:
    """The study a run folder belongs to: what its provenance says, else its parent's name."""
    study = RunFolder("", path).provenance().get("study")
    return study if isinstance(study, str) and STUDY_NAME.fullmatch(study) else path.parent.name


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of one.

    Raises:
        StorageError: it cannot be written.
    """
    write_whole(path, lambda file: file.write(content))
