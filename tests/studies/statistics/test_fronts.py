from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.statistics.fronts import anytime_hypervolume, attainment, fronts_of_seeds, hypervolume_over_seeds
from tests._dummies import PROPERTY

GRID = 6  # coordinates are whole numbers up to it, so that ties are common
SETS = st.lists(st.lists(st.tuples(st.integers(0, GRID), st.integers(0, GRID)), max_size=5), min_size=1, max_size=7)
OBJECTIVES = ("val_accuracy", "val_ece")


def make_row(accuracy: float | None, ece: float | None, *, state: str = "complete", **changes: Any) -> dict[str, Any]:
    return {"val_accuracy": accuracy, "val_ece": ece, "state": state, "train_seconds": 2.0, "epochs": 4, "stopped_at": None, **changes}


def make_confirmed(trial: str, replicate: int, accuracy: float | None, ece: float | None, *, state: str = "complete") -> dict[str, Any]:
    return {"trial_id": trial, "replicate": replicate, "state": state, "test_accuracy": accuracy, "test_ece": ece}


def test_attainment_of_four_seeds_by_hand() -> None:
    # Each seed has one point. Two neighbours on the staircase both reach the lower accuracy of the one with the higher ECE of the other.
    sets = [([0.9], [0.4]), ([0.8], [0.3]), ([0.7], [0.2]), ([0.6], [0.1])]
    assert attainment(sets) == {
        25: [(0.9, 0.4), (0.8, 0.3), (0.7, 0.2), (0.6, 0.1)],
        50: [(0.8, 0.4), (0.7, 0.3), (0.6, 0.2)],
        75: [(0.7, 0.4), (0.6, 0.3)],
    }


def test_seeds_that_agree_have_one_surface() -> None:
    assert attainment([([0.9, 0.5], [0.3, 0.1])] * 3) == {percentile: [(0.9, 0.3), (0.5, 0.1)] for percentile in (25, 50, 75)}


def test_a_seed_without_a_finite_point_counts_and_reaches_nothing() -> None:
    sets: list[tuple[list[float], list[float]]] = [([0.9], [0.1]), ([], []), ([math.nan], [0.1])]
    assert attainment(sets, (33, 34)) == {33: [(0.9, 0.1)], 34: []}


def test_no_seeds_reach_nothing() -> None:
    assert attainment([]) == {25: [], 50: [], 75: []}


def test_an_accuracy_of_zero_has_no_sign() -> None:
    accuracy, _ = attainment([([0.0], [0.5])], (50,))[50][0]
    assert math.copysign(1, accuracy) == 1


@pytest.mark.parametrize("percentile", [0, -1, 101])
def test_a_percentile_out_of_range_is_refused(percentile: int) -> None:
    with pytest.raises(ValueError, match=rf"`0 < percentile <= 100` must hold, but got percentile={percentile}\."):
        attainment([([0.9], [0.1])], (percentile,))


def test_a_set_of_two_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected accuracy and ece of one length"):
        attainment([([0.9], [0.1, 0.2])])


@PROPERTY
@given(SETS, st.sampled_from([20, 25, 50, 75, 100]))
def test_a_surface_is_what_enough_seeds_reach(sets: list[list[tuple[int, int]]], percentile: int) -> None:
    corners = attainment([([a for a, _ in points], [e for _, e in points]) for points in sets], (percentile,))[percentile]
    for accuracy in range(GRID + 1):
        for ece in range(GRID + 1):
            n_reached = sum(any(a >= accuracy and e <= ece for a, e in points) for points in sets)
            enough = 100 * n_reached >= percentile * len(sets)
            assert any(a >= accuracy and e <= ece for a, e in corners) == enough
    assert corners == sorted(corners, reverse=True)
    assert len({a for a, _ in corners}) == len({e for _, e in corners}) == len(corners)


def test_each_replicate_is_one_front_and_a_failure_adds_no_point() -> None:
    rows = [
        make_confirmed("b-confirm-1", 1, 0.7, 0.1),
        make_confirmed("a-confirm-0", 0, 0.9, 0.3),
        make_confirmed("b-confirm-0", 0, 0.6, 0.2),
        make_confirmed("a-confirm-1", 1, None, None, state="failed"),
        make_confirmed("a-confirm-2", 2, None, None, state="failed"),
    ]
    sets = fronts_of_seeds(rows, ("test_accuracy", "test_ece"))
    assert sets == [([0.9, 0.6], [0.3, 0.2]), ([0.7], [0.1]), ([], [])]
    assert hypervolume_over_seeds(sets) == pytest.approx([0.9 * 0.7 + 0.6 * 0.8 - 0.6 * 0.7, 0.7 * 0.9, 0.0])


def test_hypervolume_grows_with_finished_trials_and_cost_with_all() -> None:
    rows = [
        make_row(0.5, 0.2),
        make_row(None, None, state="failed", train_seconds=None, epochs=None),
        make_row(0.99, 0.01, state="stopped", train_seconds=0.5, epochs=1),  # values of an unfinished training
        make_row(0.4, 0.3),  # beaten by the first
        make_row(0.9, 0.4, train_seconds=3.0),
    ]
    curve = anytime_hypervolume(rows, OBJECTIVES)
    assert [point.n_trials for point in curve] == [1, 2, 3, 4, 5]
    assert [point.train_seconds for point in curve] == [2.0, 2.0, 2.5, 4.5, 7.5]
    assert [point.epochs for point in curve] == [4, 4, 5, 9, 13]
    assert [point.hypervolume for point in curve] == pytest.approx([0.5 * 0.8] * 4 + [0.5 * 0.8 + 0.9 * 0.6 - 0.5 * 0.6])


def test_an_audit_is_not_charged() -> None:
    audited = make_row(None, None, state="stopped", stopped_at=1)  # 4 epochs in 2 seconds
    (point,) = anytime_hypervolume([audited], OBJECTIVES)
    assert (point.epochs, point.train_seconds) == (1, 0.5)


def test_an_arm_without_trials_has_no_curve() -> None:
    assert anytime_hypervolume([], OBJECTIVES) == []
