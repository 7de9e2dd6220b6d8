"""What a trial costs the driver: the real Ray, Tune, search, ledger and view, with trainings that do nothing but tell of their epochs."""

from __future__ import annotations

import io
import json
import random
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rich.console import Console

from studies import cluster
from studies.driver import StudyDriver
from studies.ledger import Ledger
from studies.progress import LineView, StudyProgress
from studies.screen import only_our_console
from studies.search import StudySearch
from tests.benchmarks.large_ledger import end_event, epoch_rows, large_spec
from tests.studies._dummies import make_search_data, make_settings

EPOCHS = 100
MESSAGE = 20  # epochs
ARMS = 10


@dataclass(frozen=True)
class DriverCost:
    """What a search of trials that do nothing took.

    Attributes:
        n_trials: that finished.
        cpu_seconds: of the driver's process, all its threads.
        wall_seconds: with Ray up, from the first suggestion to the last end.
        before_bytes, peak_bytes: resident memory of the driver's process before and at its highest.
        ledger_bytes: of the file.
    """

    n_trials: int
    cpu_seconds: float
    wall_seconds: float
    before_bytes: int
    peak_bytes: int
    ledger_bytes: int


def no_training(config: dict[str, Any], **shared: Any) -> None:
    """In place of `run_trial`: messages as a real trial sends them."""
    from ray import tune

    trial_id = config["task"]["trial_id"]
    rng = random.Random(trial_id)
    events = [{"event": "epoch", "trial_id": trial_id, **row} for row in epoch_rows(EPOCHS, rng)]
    for start in range(0, EPOCHS, MESSAGE):
        tune.report({"events": json.dumps(events[start : start + MESSAGE])})
    tune.report({"events": json.dumps([end_event(trial_id, EPOCHS, rng)])})


def run(*, trials: int = 5000) -> DriverCost:
    """Search `trials` trials of 100 epochs on a local Ray."""
    nodes = cluster.connect(None, data_bytes=1 << 20)
    spec = large_spec(trials=trials, arms=ARMS if trials >= 10 * ARMS else 1, epochs=EPOCHS)
    try:
        slots = cluster.count_slots(spec, nodes, where="this machine")
        with tempfile.TemporaryDirectory() as folder, patch("studies.tune.run_trial", no_training):
            return _search(StudySearch(spec, slots), slots, Path(folder))
    finally:
        cluster.disconnect()


def _search(search: StudySearch, slots: int, folder: Path) -> DriverCost:
    from studies.tune import run_trials

    ledger = Ledger(folder / "ledger.jsonl")
    progress = StudyProgress("no-op", dict.fromkeys(search.arms, search.spec.trials), epochs=EPOCHS, slots=slots)
    driver = StudyDriver(search, ledger, progress, LineView(progress, Console(file=io.StringIO())))
    before, cpu, wall = _peak_bytes(), time.process_time(), time.perf_counter()
    with only_our_console(folder / "run.log"):
        run_trials(driver, data=make_search_data(), settings=make_settings(), gpus=0.0, slots=slots, folder=folder / "ray", sent={})
    ledger.close()
    return DriverCost(
        n_trials=sum(arm.budget.completed for arm in search.arms.values()),
        cpu_seconds=time.process_time() - cpu,
        wall_seconds=time.perf_counter() - wall,
        before_bytes=before,
        peak_bytes=_peak_bytes(),
        ledger_bytes=ledger.path.stat().st_size,
    )


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
