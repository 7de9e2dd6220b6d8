from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.statistics.multiple import holm
from tests._dummies import PROPERTY

P_VALUES = st.lists(st.sampled_from([0.0, 0.004, 0.01, 0.02, 0.03, 0.2, 0.6, 1.0]), max_size=7)


def rejected(p_values: list[float], level: float) -> set[int]:
    """Holm's procedure as he tells it: smallest first, each against level / (number left), stop at the first that fails."""
    left = sorted(range(len(p_values)), key=p_values.__getitem__)
    found: set[int] = set()
    while left and p_values[left[0]] <= level / len(left):
        found.add(left.pop(0))
    return found


def test_adjusted_p_values_by_hand() -> None:
    # sorted: 0.01 x 4, 0.02 x 3, 0.03 x 2 (not below 0.06 before it), 0.5 x 1
    assert holm([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.06, 0.06])


@PROPERTY
@given(p_values=P_VALUES, level=st.floats(0.001, 0.999))
def test_an_adjusted_p_value_is_the_least_level_at_which_holm_rejects(p_values: list[float], level: float) -> None:
    adjusted = [p for p in holm(p_values) if p is not None]
    assert len(adjusted) == len(p_values)
    if all(abs(p - level) > 1e-9 for p in adjusted):
        assert {place for place, p in enumerate(adjusted) if p <= level} == rejected(p_values, level)


def test_a_comparison_that_was_not_made_stays_none_and_does_not_count() -> None:
    assert holm([0.01, None, 0.04, math.nan]) == pytest.approx([0.02, None, 0.04, None])
    assert holm([None]) == [None]
    assert holm([]) == []


def test_adjusted_p_values_are_at_most_one() -> None:
    assert holm([0.6, 0.7, 0.9]) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("p", [-0.1, 1.5])
def test_what_is_no_p_value_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match=rf"`0 <= p <= 1` must hold for a p-value, but got {p}"):
        holm([0.5, p])
