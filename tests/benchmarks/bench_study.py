"""A study's wall time against the time its trials spent training, spread over the slots: what the engine costs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq


@dataclass(frozen=True)
class StudyResult:
    """One study.

    Attributes:
        wall_seconds: of the whole command.
        start_seconds: from the command to the first epoch's report, less that epoch and what travelled with it.
        train_seconds: sum over trials.
        slots: trials at once.
        ratio: (wall - start) / (train / slots).
    """

    study: str
    n_trials: int
    wall_seconds: float
    start_seconds: float
    train_seconds: float
    slots: int

    @property
    def ratio(self) -> float:
        """1 would be an engine that costs nothing."""
        return (self.wall_seconds - self.start_seconds) / (self.train_seconds / self.slots)


def run(study: str = "label_noise") -> StudyResult:
    """Run the shipped study as a user does, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.time()
        process = subprocess.Popen([sys.executable, "-m", "studies", "run", study, "--results", folder], stdout=subprocess.PIPE, text=True)
        ledger, first = None, 0.0
        while process.poll() is None and not first:
            ledger = next(Path(folder).glob(f"{study}/2*/ledger.jsonl"), None)
            first = _first_report(ledger) if ledger else 0.0
            time.sleep(0.02)
        output, _ = process.communicate()
        wall = time.time() - started
        if process.returncode:
            raise RuntimeError(f"The study failed with exit code {process.returncode}:\n{output}")
        trials = pq.read_table(Path(folder) / study / "latest" / "tables" / "trials.parquet").to_pylist()
    slots = re.search(r"(\d+) at once", output)
    assert slots is not None, output
    seconds = sum(trial["train_seconds"] for trial in trials)
    return StudyResult(study, len(trials), wall, first - started, seconds, int(slots[1]))


def _first_report(ledger: Path) -> float:
    """When the first trial began to train, from the ledger; 0 while nothing was reported."""
    now = time.time()
    for line in ledger.read_text(encoding="utf-8").splitlines():
        event = json.loads(line) if line.endswith("}") else {}
        if event.get("event") == "epochs":
            return now - float(sum(row["seconds"] for row in event["rows"]))
    return 0.0
