from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from studies.statistics.independent import compare_independent


def test_interval_and_p_value_are_those_of_a_reference() -> None:
    a, b = [0.81, 0.83, 0.80, 0.86], [0.79, 0.78, 0.82]
    found = compare_independent(a, b)
    reference = stats.ttest_ind(a, b, equal_var=False)
    interval = reference.confidence_interval(0.95)
    assert found.difference == pytest.approx(0.825 - 0.79666667)
    assert found.p_value == pytest.approx(reference.pvalue)
    assert found.low == pytest.approx(interval.low)
    assert found.high == pytest.approx(interval.high)
    assert found.degrees_of_freedom == pytest.approx(reference.df)
    assert found.reason is None


def test_equal_sizes_and_spreads_by_hand() -> None:
    # Variances 0.0001 and 0.0001, n = 3 each: error sqrt(2 * 0.0001 / 3) = 0.0081650, 4 degrees of freedom, t = 2.7764.
    found = compare_independent([0.80, 0.81, 0.82], [0.70, 0.71, 0.72])
    assert found.standard_error == pytest.approx(0.0081650, abs=1e-6)
    assert found.degrees_of_freedom == pytest.approx(4)
    assert found.low == pytest.approx(0.1 - 2.776445 * 0.0081650, abs=1e-6)


def test_values_that_are_not_there_are_left_out() -> None:
    assert compare_independent([0.8, None, 0.9, math.nan], [0.7, 0.6]) == compare_independent([0.8, 0.9], [0.7, 0.6])


@pytest.mark.parametrize(
    ("a", "b", "difference", "words"),
    [
        ([], [0.5, 0.6], None, "no finished training"),
        ([None], [0.5], None, "no finished training"),
        ([0.75], [0.5, 0.5], 0.25, "no spread over seeds"),
        ([0.75, 0.75], [0.5, 0.5], 0.25, "cannot be told"),
    ],
)
def test_why_there_is_no_interval_is_said(a: list[float | None], b: list[float | None], difference: float | None, words: str) -> None:
    found = compare_independent(a, b)
    assert (found.difference, found.low, found.high, found.p_value) == (difference, None, None, None)
    assert words in str(found.reason)


def test_equal_constants_do_not_differ() -> None:
    found = compare_independent([0.3, 0.3], [0.3, 0.3, 0.3])
    assert (found.difference, found.p_value) == (0.0, 1.0)


def test_a_confidence_level_is_between_0_and_1() -> None:
    with pytest.raises(ValueError, match="confidence_level"):
        compare_independent([0.1, 0.2], [0.1, 0.3], confidence_level=1.0)


def test_equal_samples_are_told_apart_as_often_as_the_level_says() -> None:
    rng = np.random.default_rng(3)
    p_values = [compare_independent(list(rng.normal(0, 1, 5)), list(rng.normal(0, 3, 5))).p_value for _ in range(2000)]
    assert 0.03 < np.mean([p is not None and p < 0.05 for p in p_values]) < 0.07
