from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.pareto import costs, crowding_distance, hypervolume, non_dominated
from tests._dummies import PROPERTY, load_golden

# Few distinct values, so that ties and duplicates are common.
VALUE = st.integers(0, 6).map(lambda number: number / 6)
POINTS = st.lists(st.tuples(VALUE, VALUE), max_size=14)
MAYBE_BROKEN = st.lists(st.tuples(VALUE | st.sampled_from([math.nan, math.inf, -math.inf]), VALUE | st.just(math.nan)), max_size=10)


@pytest.mark.parametrize("case", [0, 1, 2])
def test_front_and_hypervolume_match_the_golden_vectors(case: int) -> None:
    golden = load_golden("pareto")  # columns (error, ECE)
    points, reference = golden[f"points_{case}"], golden[f"ref_{case}"]
    assert non_dominated(1 - points[:, 0], points[:, 1]).tolist() == golden[f"nondominated_{case}"].tolist()
    area = hypervolume(1 - points[:, 0], points[:, 1], reference=(1 - reference[0], reference[1]))
    assert area == pytest.approx(float(golden[f"hv_{case}"]), rel=1e-12)


def test_the_front_by_hand() -> None:
    #            best accuracy | trade | beaten by 2nd | best ECE | beaten by all
    accuracy = [0.9, 0.8, 0.8, 0.5, 0.4]
    ece = [0.3, 0.1, 0.2, 0.05, 0.6]
    assert non_dominated(accuracy, ece).tolist() == [True, True, False, True, False]


def test_equal_points_are_all_kept() -> None:
    assert non_dominated([0.9, 0.9, 0.8], [0.1, 0.1, 0.2]).tolist() == [True, True, False]


def test_a_point_that_ties_in_one_objective_and_loses_in_the_other_is_beaten() -> None:
    assert non_dominated([0.9, 0.9], [0.1, 0.2]).tolist() == [True, False]
    assert non_dominated([0.9, 0.8], [0.1, 0.1]).tolist() == [True, False]


@pytest.mark.parametrize("broken", [(math.nan, 0.1), (0.9, math.nan), (math.inf, 0.0), (1.0, -math.inf), (math.nan, math.nan)])
def test_a_point_that_is_not_finite_is_never_on_the_front_and_beats_nothing(broken: tuple[float, float]) -> None:
    accuracy, ece = zip(broken, (0.5, 0.2), strict=True)
    assert non_dominated(accuracy, ece).tolist() == [False, True]
    assert hypervolume(accuracy, ece) == pytest.approx(0.5 * 0.8)


def test_no_points_have_no_front_and_no_area() -> None:
    assert non_dominated([], []).shape == (0,)
    assert non_dominated([], []).dtype == bool
    assert hypervolume([], []) == 0.0
    assert hypervolume([math.nan], [0.1]) == 0.0


def test_one_point_is_its_own_front() -> None:
    assert non_dominated([0.7], [0.2]).tolist() == [True]
    assert hypervolume([0.7], [0.2]) == pytest.approx(0.7 * 0.8)


def test_the_hypervolume_of_two_points_is_two_boxes_less_their_overlap() -> None:
    assert hypervolume([0.9, 0.5], [0.4, 0.1]) == pytest.approx(0.9 * 0.6 + 0.5 * 0.9 - 0.5 * 0.6)


def test_the_hypervolume_counts_from_the_reference() -> None:
    assert hypervolume([0.9], [0.1], reference=(0.5, 0.3)) == pytest.approx(0.4 * 0.2)
    assert hypervolume([0.4], [0.1], reference=(0.5, 0.3)) == 0.0
    assert hypervolume([0.9], [0.3], reference=(0.5, 0.3)) == 0.0


def test_a_perfect_trial_has_hypervolume_one() -> None:
    assert hypervolume([1.0], [0.0]) == pytest.approx(1.0)


@pytest.mark.parametrize(("accuracy", "ece"), [([0.1, 0.2], [0.1]), ([[0.1]], [[0.1]]), (0.1, 0.1)])
def test_shapes_that_differ_are_refused(accuracy: object, ece: object) -> None:
    with pytest.raises(ValueError, match=r"Expected accuracy and ece of one length, but got shapes"):
        non_dominated(accuracy, ece)
    with pytest.raises(ValueError, match=r"Expected accuracy and ece of one length, but got shapes"):
        hypervolume(accuracy, ece)


def by_definition(points: list[tuple[float, float]]) -> list[bool]:
    def beats(first: tuple[float, float], second: tuple[float, float]) -> bool:
        return first[0] >= second[0] and first[1] <= second[1] and first != second

    finite = [point for point in points if all(map(math.isfinite, point))]
    return [point in finite and not any(beats(other, point) for other in finite) for point in points]


@PROPERTY
@given(POINTS | MAYBE_BROKEN)
def test_the_front_is_what_its_definition_says(points: list[tuple[float, float]]) -> None:
    accuracy, ece = (np.array([point[axis] for point in points]) for axis in (0, 1))
    assert non_dominated(accuracy, ece).tolist() == by_definition(points)


@PROPERTY
@given(POINTS)
def test_the_hypervolume_is_the_area_counted_in_small_squares(points: list[tuple[float, float]]) -> None:
    # All coordinates are sixths, so squares with sides of a sixth are covered whole or not at all.
    covered = sum(any(a * 6 > x and e * 6 <= y for a, e in points) for x in range(6) for y in range(6))
    assert hypervolume([a for a, _ in points], [e for _, e in points]) == pytest.approx(covered / 36)


@PROPERTY
@given(POINTS, st.randoms(use_true_random=False))
def test_the_order_of_points_does_not_matter(points: list[tuple[float, float]], stream: object) -> None:
    order = list(range(len(points)))
    stream.shuffle(order)  # type: ignore[attr-defined]
    accuracy, ece = (np.array([point[axis] for point in points]) for axis in (0, 1))
    before = non_dominated(accuracy, ece)
    assert non_dominated(accuracy[order], ece[order]).tolist() == before[order].tolist()
    assert hypervolume(accuracy[order], ece[order]) == pytest.approx(hypervolume(accuracy, ece))


def test_the_crowding_distance_by_hand() -> None:
    # Both objectives are 0.4 wide. The third lies between the first and the last, the last between the third and the second.
    distance = crowding_distance(costs([0.5, 0.9, 0.6, 0.8], [0.02, 0.42, 0.10, 0.12]))
    assert distance == pytest.approx([math.inf, math.inf, 0.3 / 0.4 + 0.1 / 0.4, 0.3 / 0.4 + 0.32 / 0.4])


@pytest.mark.parametrize("n", [0, 1, 2])
def test_the_ends_of_a_front_are_not_crowded(n: int) -> None:
    assert crowding_distance(costs([0.5, 0.6][:n], [0.1, 0.2][:n])).tolist() == [math.inf] * n


def test_of_equal_points_all_but_the_ends_are_crowded() -> None:
    assert sorted(crowding_distance(costs([0.5] * 4, [0.1] * 4)).tolist()) == [0, 0, math.inf, math.inf]


def test_a_crowding_distance_needs_finite_points() -> None:
    with pytest.raises(ValueError, match=r"finite points, but got NaN or infinity\. Pass members of a front only"):
        crowding_distance(costs([0.5, math.nan], [0.1, 0.2]))


@PROPERTY
@given(st.sets(st.integers(0, 40), min_size=3, max_size=9), st.sets(st.integers(0, 40), min_size=9, max_size=9))
def test_the_crowding_distance_is_the_half_perimeter_of_the_box_between_neighbours(first: set[int], second: set[int]) -> None:
    accuracy, ece = sorted(first), sorted(second)[: len(first)]
    for place, distance in enumerate(crowding_distance(costs(accuracy, ece))):
        if place in (0, len(accuracy) - 1):
            assert distance == math.inf
        else:
            width, height = accuracy[place + 1] - accuracy[place - 1], ece[place + 1] - ece[place - 1]
            assert distance == pytest.approx(width / (accuracy[-1] - accuracy[0]) + height / (ece[-1] - ece[0]))
