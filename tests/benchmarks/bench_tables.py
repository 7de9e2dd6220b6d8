"""From a ledger of thousands of trials to tables and a front: seconds and memory, each in a process of its own as a user has it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from studies.ledger import Ledger
from studies.run_folder import RunFolder, create_run
from tests.benchmarks.large_ledger import large_events, large_spec

EPOCHS = 100
ARMS = 10


@dataclass(frozen=True)
class TableCost:
    """What a run's results took.

    Attributes:
        n_trials, n_bins: rows of the tables `trials` and `reliability`.
        ledger_bytes: of the file.
        build_seconds: from the ledger to tables in memory.
        write_seconds: to files.
        before_bytes, peak_bytes: resident memory of that process before and at its highest.
        first_front_seconds: `front` with everything still to be made: tables, statistics and figures.
        front_seconds: `front` of a run that has not gone on since, start of the process included.
    """

    n_trials: int
    n_bins: int
    ledger_bytes: int
    build_seconds: float
    write_seconds: float
    before_bytes: int
    peak_bytes: int
    first_front_seconds: float
    front_seconds: float


_BUILD = """
import resource, sys, time
from pathlib import Path
from studies.ledger import LedgerReader
from studies.results import run_constants
from studies.run_folder import RunFolder
from studies.tables import build_tables, write_tables
run = RunFolder("large", Path(sys.argv[1]))
constants = run_constants(run, run.spec())
before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
tables = build_tables(LedgerReader(run.ledger), constants)
built = time.perf_counter()
write_tables(run, tables, {})
written, peak = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(tables.trials), len(tables.reliability), built - started, written - built, before, peak)
"""


def run(*, trials: int = 5000, corruptions: int = 0) -> TableCost:
    """Measure once; trials of 100 epochs, told of in messages of 10, evaluated on so many corruptions of one severity."""
    with tempfile.TemporaryDirectory() as folder:
        spec = large_spec(trials=trials, arms=ARMS if trials >= 10 * ARMS else 1, epochs=EPOCHS)
        run_folder = create_run(Path(folder), "large", spec)
        ledger = Ledger(run_folder.ledger)
        for event in large_events(spec, corruptions=corruptions):
            ledger.append(event)
        ledger.close()
        n_trials, n_bins, build, write, before, peak = map(float, run_python(run_folder.path, "-c", _BUILD, str(run_folder.path)).split())
        return TableCost(
            n_trials=int(n_trials),
            n_bins=int(n_bins),
            ledger_bytes=run_folder.ledger.stat().st_size,
            build_seconds=build,
            write_seconds=write,
            before_bytes=int(before) * 1024,
            peak_bytes=int(peak) * 1024,
            first_front_seconds=_front_seconds(run_folder),
            front_seconds=_front_seconds(run_folder),
        )


def _front_seconds(run_folder: RunFolder) -> float:
    started = time.perf_counter()
    run_python(run_folder.path, "-m", "studies", "front", str(run_folder.path))
    return time.perf_counter() - started


def run_python(folder: Path, *arguments: str) -> str:
    """What a Python process prints that works in `folder` with this project's code."""
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=True, cwd=folder, env=os.environ | {"PYTHONPATH": root}
    )
    return done.stdout
