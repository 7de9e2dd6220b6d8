"""A small real study to which things happen: processes that can be found again, and what must be true of its run in the end."""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pyarrow.parquet as pq
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from studies.ledger import Event, read_ledger
from studies.run import run_study
from studies.run_folder import RunFolder
from studies.study_file import load_spec
from studies.tables import read_tables
from tests.studies._played_runs import played_here
from tests.studies._processes import parents
from tests.studies._real_runs import INCIDENTAL, command, environment

NAME = "faulty"
STUDY = """
question: Is anything lost, and is anything counted twice?
dataset: digits
train_images: 300
width: 4
methods: [cross_entropy, bsd]
conditions: ["symmetric:0.4"]
trials: 2
epochs: 40
batch_size: 32
checkpoint_seconds: 0.2
evaluate: {corruptions: main, severities: [2, 4], perturbations: rotate, images: 60}
confirm: {points: best_accuracy, operating_points: false, seeds: 2, corruptions: contrast, severities: [1], images: 60}
"""
N_SEARCH, N_CONFIRM, N_EPOCHS = 4, 4, 40
KEYS = {
    "trials": ["trial_id"],
    "epochs": ["trial_id", "epoch"],
    "evaluations": ["trial_id", "split", "shift", "name", "severity"],
    "reliability": ["trial_id", "split", "shift", "name", "severity", "bin"],
}


def write_study(folder: Path) -> Path:
    """The study's file."""
    path = folder / f"{NAME}.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


def content(run: RunFolder) -> dict[str, Any]:
    """Every row of every table, without what depends on the machine and the moment, and the bytes of all predictions."""
    tables = read_tables(run)
    found: dict[str, Any] = {path.name: path.read_bytes() for path in sorted(run.predictions.iterdir())}
    for name in KEYS:
        table = getattr(tables, name)
        rows = table.drop_columns([column for column in table.column_names if column in {*INCIDENTAL, "seconds"}]).to_pylist()
        found[name] = sorted(json.dumps(row, default=str) for row in rows)
    return found


@functools.cache
def undisturbed_run() -> RunFolder:
    """A run to which nothing happened; played in this process, which gives the same numbers as Ray does."""
    results = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, results, ignore_errors=True)
    with played_here(), contextlib.redirect_stdout(io.StringIO()):
        assert run_study(NAME, load_spec(write_study(results), []), results) == 0
    return RunFolder(NAME, next(results.glob(f"{NAME}/2*")))


@functools.cache
def undisturbed() -> dict[str, Any]:
    """What its tables hold."""
    return content(undisturbed_run())


def newest(results: Path) -> RunFolder | None:
    """The run that was begun last, if one was."""
    runs = sorted(path.parent for path in results.glob(f"{NAME}/2*/study.yaml"))
    return RunFolder(NAME, runs[-1]) if runs else None


def ledger_events(run: RunFolder | None) -> list[Event]:
    """What can be read by now."""
    return [] if run is None else read_ledger(run.ledger, without=("evaluations", "reliability")).events


def epochs_done(events: Iterable[Event]) -> dict[str, int]:
    """By trial, its last epoch."""
    return {event["trial_id"]: max(row["epoch"] for row in event["rows"]) for event in events if event["event"] == "epochs"}


def in_evaluation(events: Sequence[Event]) -> set[str]:
    """Trials that have trained to their last epoch and have not ended."""
    ended = {event["trial_id"] for event in events if event["event"] == "end"}
    return {trial_id for trial_id, epoch in epochs_done(events).items() if epoch == N_EPOCHS} - ended


def check_finished(run: RunFolder) -> None:
    """Nothing was lost, run again after its end, or counted twice; all numbers are those of an undisturbed run."""
    events = ledger_events(run)
    ends = Counter(event["trial_id"] for event in events if event["event"] == "end")
    assert len(ends) == N_SEARCH + N_CONFIRM
    assert set(ends.values()) == {1}, "a trial ended twice"
    assert sum(event["event"] == "confirm" for event in events) == 1
    ended: set[str] = set()
    for event in events:
        if event["event"] == "end":
            ended.add(event["trial_id"])
        elif "trial_id" in event:
            assert event["trial_id"] not in ended, f"{event['event']} of a trial that had ended"
    tables = read_tables(run)
    for name, columns in KEYS.items():
        rows = [tuple(row.values()) for row in getattr(tables, name).select(columns).to_pylist()]
        assert len(rows) == len(set(rows)), f"table {name} has a row twice"
    trials = tables.trials.to_pylist()
    assert set(Counter((row["phase"], row["arm"]) for row in trials).values()) == {2}
    assert len({(row["state"], row["epochs"], row["images_seen"]) for row in trials}) == 1
    assert content(run) == undisturbed()
    check_journal(run, N_SEARCH)
    assert not run.checkpoints.exists()
    assert not list(run.path.rglob("*.tmp"))


def check_journal(run: RunFolder, n_trials: int) -> None:
    """What optuna-dashboard would show: so many trials, all of them complete."""
    storage = JournalStorage(JournalFileBackend(str(run.journal)))
    states = [trial.state for study in optuna.study.get_all_study_summaries(storage) for trial in storage.get_all_trials(study._study_id)]
    assert states == [optuna.trial.TrialState.COMPLETE] * n_trials


def check_tables_are_whole(run: RunFolder) -> None:
    """Whatever was killed: each table is there whole, or not at all."""
    for path in run.tables.glob("**/*.parquet"):
        pq.read_table(path)


@dataclass
class Driver:
    """`python -m studies ...` as a process with a mark, by which it and all that came from it are found again.

    Args:
        arguments: of the command.
        environment: its own; without one it starts a Ray of its own.
    """

    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=environment, repr=False)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            command(*self.arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**self.environment, "BSD_TEST_MARK": self.mark},
            start_new_session=True,
        )
        atexit.register(self.process.kill)  # of a test that failed

    def kill(self) -> str:
        """SIGKILL, to the driver alone; what it had printed."""
        self.process.kill()
        return self.process.communicate(timeout=60)[0]

    def end_by(self, number: signal.Signals, *, group: bool, times: int = 1) -> tuple[int, str, float]:
        """Send a signal as a terminal does (to the group) or a person (to the driver); exit code, screen and seconds until the end."""
        began = time.monotonic()
        for _ in range(times):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number) if group else self.process.send_signal(number)
            time.sleep(0.1 * (times > 1))
        screen, _ = self.process.communicate(timeout=60)
        return self.process.returncode, screen, time.monotonic() - began

    def finish(self) -> tuple[int, str]:
        """Wait for its end; exit code and screen."""
        screen, _ = self.process.communicate(timeout=600)
        return self.process.returncode, screen

    def uses(self, library: str) -> bool:
        """Whether the driver has loaded a library by now."""
        with contextlib.suppress(OSError):
            return library in Path(f"/proc/{self.process.pid}/maps").read_text(encoding="utf-8", errors="replace")
        return False

    def has_started(self, server: str) -> bool:
        """Whether this process of Ray is there: `gcs_server` is its first, `raylet` its second."""
        return any(f"/{server} " in line for line in marked(self.mark).values())

    def wait_gone(self, *, seconds: float = 120) -> None:
        """Wait until no process is left of all that it started, Ray's agents included; they may take a while to notice."""
        deadline = time.monotonic() + seconds
        while (left := marked(self.mark)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not left, f"processes are left: {left}"


def marked(mark: str) -> dict[int, str]:
    """Living processes with this mark in their environment, with their command lines."""
    found = {}
    for pid in parents():
        with contextlib.suppress(OSError):
            if mark.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
    return found
