"""A node that is short of memory: Ray's own monitor kills the processes of trials, and the study says so and goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

import studies
from tests.studies._faults import NAME, Driver, write_study
from tests.studies._real_runs import environment

pytestmark = [pytest.mark.slow, pytest.mark.faults]


def test_trials_killed_by_the_memory_monitor_are_recorded_with_their_reason(tmp_path: Path) -> None:
    study, results = write_study(tmp_path), tmp_path / "results"
    # Any use of memory is too much, so that the monitor does what it does on a node that is full: here every few seconds, amid a training.
    settings = environment() | {"RAY_memory_usage_threshold": "0.01", "RAY_memory_monitor_refresh_ms": "8000"}
    changes = ("trials=1", "methods=cross_entropy", "epochs=100000", "checkpoint_seconds=none")
    driver = Driver(("run", str(study), *changes, "--results", str(results)), settings)
    code, screen = driver.finish()
    assert code == 1, screen
    said = " ".join(screen.split())
    assert "its process died (its node ran out of memory); it is started again" in said
    assert "Budgets are NOT equal: cross_entropy/symmetric_40 gave up after 1 failed trials" in said
    (trial,) = studies.load(NAME, results=results).trials.to_pylist()
    assert trial["state"] == "failed"
    assert "its node ran out of memory" in trial["error"]
