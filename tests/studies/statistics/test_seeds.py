from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from studies.statistics.seeds import SeedSummary, summarise


def test_mean_spread_and_interval_by_hand() -> None:
    found = summarise([0.8, 0.9, 1.0])
    half = 4.302653 * 0.1 / math.sqrt(3)  # t with 2 degrees of freedom, from a printed table
    assert (found.n, found.n_missing) == (3, 0)
    assert (found.mean, found.spread) == pytest.approx((0.9, 0.1))
    assert (found.low, found.high) == pytest.approx((0.9 - half, 0.9 + half), rel=1e-6)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_the_interval_is_that_of_scipy(level: float) -> None:
    values = np.random.default_rng(0).normal(0.7, 0.02, 6)
    found = summarise(values.tolist(), confidence_level=level)
    interval = stats.ttest_1samp(values, 0.0).confidence_interval(level)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_seeds_without_a_value_are_left_out_and_counted() -> None:
    assert summarise([0.5, None, math.nan, 0.7, math.inf]) == SeedSummary(**{**vars(summarise([0.5, 0.7])), "n_missing": 3})


def test_one_seed_has_a_mean_and_no_spread() -> None:
    assert summarise([0.5]) == SeedSummary(n=1, mean=0.5, spread=None, low=None, high=None)


def test_no_seed_has_nothing() -> None:
    assert summarise([]) == SeedSummary(n=0, mean=None, spread=None, low=None, high=None)
    assert summarise([None]) == SeedSummary(n=0, mean=None, spread=None, low=None, high=None, n_missing=1)


def test_equal_values_have_an_interval_without_width() -> None:
    found = summarise([0.1] * 3)
    assert (found.mean, found.spread, found.low, found.high) == (0.1, 0.0, 0.1, 0.1)


def test_a_level_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`0 < confidence_level < 1` must hold, but got confidence_level=95"):
        summarise([0.1, 0.2], confidence_level=95)
