"""The benchmark of tables and the driver, with few trials: that they measure the real thing, not how fast it is."""

from __future__ import annotations

import pytest

from tests.benchmarks import bench_driver, bench_tables


def test_tables_and_fronts_of_few_trials() -> None:
    cost = bench_tables.run(trials=6, corruptions=2)
    assert (cost.n_trials, cost.n_bins) == (6, 6 * 4 * 15)
    assert 0 < cost.front_seconds < cost.first_front_seconds
    assert cost.peak_bytes >= cost.before_bytes > 0


@pytest.mark.slow
@pytest.mark.faults
def test_the_driver_of_trials_that_train_nothing() -> None:
    cost = bench_driver.run(trials=20)
    assert cost.n_trials == 20
    assert cost.ledger_bytes > 20 * 100 * 100  # all epochs are there
    assert 0 < cost.cpu_seconds / 20 < 0.5  # of few trials, mostly the start of Tune
    assert cost.peak_bytes - cost.before_bytes < 300e6
