from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from studies.statistics.improvement import Improvement, probability_of_improvement


def test_the_probability_is_the_share_of_pairs_with_ties_half() -> None:
    # 3 beats both; 2 ties with 2 and beats 1; 0 beats neither: (2 + 1.5 + 0) of 6 pairs
    assert probability_of_improvement([3, 2, 0], [2, 1], higher_is_better=True).probability == pytest.approx(3.5 / 6)
    assert probability_of_improvement([3, 2, 0], [2, 1], higher_is_better=False).probability == pytest.approx(2.5 / 6)


def test_the_probability_is_mann_whitneys_u_over_the_pairs() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, 9).astype(float), rng.integers(0, 6, 7).astype(float)
    expected = stats.mannwhitneyu(a, b).statistic / 63
    assert probability_of_improvement(a.tolist(), b.tolist(), higher_is_better=True).probability == pytest.approx(expected)


def test_one_run_of_each_has_wilsons_interval_of_one_trial() -> None:
    # With S_a = S_b = 1 the variance is p (1 - p), so the ends solve (1 - p)^2 = z^2 p (1 - p): p = 1 / (1 + z^2).
    assert probability_of_improvement([0.9], [0.8], higher_is_better=True).low == pytest.approx(1 / (1 + 1.959964**2), rel=1e-6)


def test_a_side_that_always_wins_keeps_an_interval_with_width() -> None:
    found = probability_of_improvement([5, 6, 7], [1, 2, 3], higher_is_better=True)
    assert found.low is not None
    assert found.probability == found.high == 1
    assert 0.4 < found.low < 0.6
    mirrored = probability_of_improvement([1, 2, 3], [5, 6, 7], higher_is_better=True)
    assert (mirrored.probability, mirrored.low, mirrored.high) == pytest.approx((0, 0, 1 - found.low))


def test_more_runs_narrow_the_interval_and_a_higher_level_widens_it() -> None:
    def width(n: int, level: float) -> float:
        found = probability_of_improvement([1, 2] * n, [1, 2] * n, higher_is_better=True, confidence_level=level)
        assert found.low is not None
        assert found.high is not None
        assert found.low < 0.5 < found.high
        return found.high - found.low

    assert width(8, 0.95) < width(2, 0.95) < width(2, 0.99)


@pytest.mark.parametrize("true", [0.5, 0.95])
def test_the_interval_holds_the_true_probability_about_as_often_as_it_says(true: float) -> None:
    held = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        a, b = rng.normal(stats.norm.ppf(true) * math.sqrt(2), 1, 5), rng.normal(0, 1, 5)
        found = probability_of_improvement(a.tolist(), b.tolist(), higher_is_better=True)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= true <= found.high
    assert 0.91 <= held / 400 <= 0.99


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_a_run_that_failed_loses_against_one_that_did_not(higher_is_better: bool) -> None:
    # a wins 1 of its runs' 2 x 2 pairs against the failed run, and ties where both failed: (1 + 1/2) of 4, and one of two finished ones
    found = probability_of_improvement([0.9, None], [math.nan, 0.9], higher_is_better=higher_is_better)
    assert found.probability == pytest.approx((1 + 0.5 + 0.5 + 0) / 4)
    assert probability_of_improvement([None] * 4 + [0.97], [0.95] * 5, higher_is_better=True).probability == pytest.approx(0.2)
    assert probability_of_improvement([None], [math.inf], higher_is_better=higher_is_better).probability == 0.5


def test_without_runs_there_is_no_probability() -> None:
    assert probability_of_improvement([], [0.5], higher_is_better=True) == Improvement(None, None, None)


def test_a_level_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`0 < confidence_level < 1` must hold, but got confidence_level=0"):
        probability_of_improvement([1.0], [0.0], higher_is_better=True, confidence_level=0)
