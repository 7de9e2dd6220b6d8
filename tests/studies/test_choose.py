from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsd_core.errors import ConfigError
from studies.choose import POINTS, Chosen, choose_points, knee
from studies.pareto import non_dominated
from tests._dummies import PROPERTY

VALUE = st.integers(0, 6).map(lambda number: number / 6)  # few distinct values, so that ties and duplicates are common
CLOUD = st.lists(st.tuples(VALUE | st.just(math.nan), VALUE), max_size=12)

# Five members of a front and two points that are not on it. Scaled to the front's range (accuracy 0.5 to 0.9, ECE 0.02 to 0.42):
#   index            0     1     2     3     4  | 5 beaten by 1, 6 failed
#   scaled accuracy  1   0.875 0.75  0.25    0
#   scaled ECE       1    0.5  0.25   0.2    0
#   difference       0   0.375  0.5  0.05    0
ACCURACY = [0.9, 0.85, 0.8, 0.6, 0.5, 0.84, math.nan]
ECE = [0.42, 0.22, 0.12, 0.10, 0.02, 0.3, 0.0]


def test_the_knee_is_farthest_from_the_chord_between_the_ends() -> None:
    assert knee(ACCURACY[:5], ECE[:5]) == 2


def test_the_knee_does_not_depend_on_the_unit_of_an_objective() -> None:
    assert knee([100 * value for value in ACCURACY[:5]], ECE[:5]) == 2


@pytest.mark.parametrize(
    ("accuracy", "ece"),
    [
        ([0.7], [0.2]),  # one member
        ([0.5, 0.9], [0.1, 0.2]),  # two: both are ends
        ([0.5, 0.7, 0.9], [0.1, 0.2, 0.3]),  # a straight front
        ([0.5, 0.6, 0.9], [0.1, 0.25, 0.3]),  # all between the ends lie on the far side of the chord
    ],
)
def test_without_a_bulge_the_knee_is_the_most_accurate(accuracy: list[float], ece: list[float]) -> None:
    assert knee(accuracy, ece) == len(accuracy) - 1


def test_of_two_knees_the_more_accurate_is_chosen_though_sums_round_differently() -> None:
    # Scaled: (0, 0), (0.6, 0.1), (0.9, 0.4), (1, 1): both are 0.5 from the chord, but 0.9 - 0.4 and 0.6 - 0.1 round differently.
    accuracy, ece = [0.0, 0.6, 0.9, 1.0], [0.0, 0.1, 0.4, 1.0]
    assert knee(accuracy, ece) == 2
    assert knee(accuracy[::-1], ece[::-1]) == 1


def test_of_equal_members_the_knee_is_the_first() -> None:
    assert knee([0.5, 0.5, 0.5], [0.1, 0.1, 0.1]) == 0


@pytest.mark.parametrize(("accuracy", "ece"), [([], []), ([0.5], [0.1, 0.2]), ([[0.5]], [[0.1]])])
def test_a_knee_needs_members_of_one_length(accuracy: object, ece: object) -> None:
    with pytest.raises(ValueError, match=r"Expected accuracy and ece of a front with one length of at least 1, but got \("):
        knee(accuracy, ece)


def test_a_knee_needs_finite_members() -> None:
    with pytest.raises(ValueError, match=r"finite points, but got NaN or infinity\. Pass members of a front only"):
        knee([0.5, math.nan], [0.1, 0.2])


def test_the_front_is_chosen_from_its_ends_and_its_knee_to_its_least_crowded_member() -> None:
    # Crowding of 1: (1 - 0.75) + (1 - 0.25) = 1; of 3: (0.75 - 0) + (0.25 - 0) = 1: a tie, so the first.
    chosen = choose_points(ACCURACY, ECE, points="front", at_most=9)
    assert chosen == [
        Chosen(0, ("best_accuracy",)),
        Chosen(4, ("best_ece",)),
        Chosen(2, ("knee",)),
        Chosen(1, ("front",)),
        Chosen(3, ("front",)),
    ]


def test_the_least_crowded_members_come_first() -> None:
    # Crowding of (0.5, 0.05): (0.9 - 0) + (0.15 - 0) = 1.05; of (0.95, 0.6): (1 - 0.9) + (1 - 0.15) = 0.95.
    accuracy, ece = [0, 0.5, 0.9, 0.95, 1], [0, 0.05, 0.15, 0.6, 1]
    assert [point.index for point in choose_points(accuracy, ece, points="front", at_most=4)] == [4, 0, 2, 1]
    assert [point.index for point in choose_points(accuracy[::-1], ece[::-1], points="front", at_most=4)] == [0, 4, 2, 3]


@pytest.mark.parametrize("at_most", [1, 2, 3, 4])
def test_no_more_points_are_chosen_than_asked_for(at_most: int) -> None:
    every = choose_points(ACCURACY, ECE, points="front", at_most=9)
    assert choose_points(ACCURACY, ECE, points="front", at_most=at_most) == every[:at_most]


@pytest.mark.parametrize(("points", "index"), [("best_accuracy", 0), ("knee", 2), ("best_ece", 4)])
def test_one_point_can_be_asked_for(points: str, index: int) -> None:
    assert choose_points(ACCURACY, ECE, points=points, at_most=3) == [Chosen(index, (points,))]


@pytest.mark.parametrize("points", POINTS)
def test_a_front_of_one_point_is_everything_at_once(points: str) -> None:
    assert choose_points([0.4, 0.9], [0.3, 0.1], points=points, at_most=3) == [Chosen(1, ("best_accuracy", "best_ece", "knee"))]


@pytest.mark.parametrize("points", ["best_accuracy", "knee", "front"])
def test_of_two_points_the_more_accurate_is_the_knee(points: str) -> None:
    chosen = choose_points([0.4, 0.9], [0.1, 0.3], points=points, at_most=3)
    assert chosen[0] == Chosen(1, ("best_accuracy", "knee"))
    assert chosen[1:] == ([Chosen(0, ("best_ece",))] if points == "front" else [])


def test_of_equal_points_the_first_is_chosen() -> None:
    chosen = choose_points([0.4, 0.9, 0.9, 0.4], [0.1, 0.3, 0.3, 0.1], points="front", at_most=4)
    assert [point.index for point in chosen] == [1, 0]


def test_of_equally_accurate_points_the_better_calibrated_is_chosen() -> None:
    assert choose_points([0.9, 0.9], [0.3, 0.2], points="best_accuracy", at_most=1)[0].index == 1
    assert choose_points([0.8, 0.9], [0.2, 0.2], points="best_ece", at_most=1)[0].index == 1


@pytest.mark.parametrize(("accuracy", "ece"), [([], []), ([math.nan], [0.1]), ([math.inf, 0.5], [0.1, math.nan])])
def test_an_arm_without_a_finite_point_has_nothing_to_choose(accuracy: list[float], ece: list[float]) -> None:
    assert choose_points(accuracy, ece, points="front", at_most=3) == []


def test_an_unknown_choice_says_what_exists() -> None:
    with pytest.raises(ConfigError, match=r"Unknown choice of points 'best_acuracy'\. Did you mean 'best_accuracy'\? Known:"):
        choose_points([0.5], [0.1], points="best_acuracy", at_most=1)


@pytest.mark.parametrize("at_most", [0, -1])
def test_at_least_one_point_is_asked_for(at_most: int) -> None:
    with pytest.raises(ConfigError, match=rf"`at_most >= 1` must hold, but got at_most={at_most}\."):
        choose_points([0.5], [0.1], points="front", at_most=at_most)


@PROPERTY
@given(CLOUD)
def test_the_chosen_front_is_every_different_non_dominated_point_once(cloud: list[tuple[float, float]]) -> None:
    accuracy, ece = (np.array([point[axis] for point in cloud]) for axis in (0, 1))
    chosen = choose_points(accuracy, ece, points="front", at_most=99)
    front = {point for point, kept in zip(cloud, non_dominated(accuracy, ece), strict=True) if kept}
    assert {cloud[point.index] for point in chosen} == front
    assert len(chosen) == len(front)
    assert all(point.index == cloud.index(cloud[point.index]) for point in chosen)
    holders = {role: cloud[point.index] for point in chosen for role in point.roles if role != "front"}
    if front:
        assert holders["best_accuracy"] == max(front)
        assert holders["best_ece"] == min(front)  # on a front the lowest ECE is the lowest accuracy
        assert sum(len(point.roles) for point in chosen if point.roles != ("front",)) == 3


@PROPERTY
@given(st.lists(st.tuples(VALUE, VALUE), min_size=1, max_size=12))
def test_no_member_is_farther_from_the_chord_than_the_knee(cloud: list[tuple[float, float]]) -> None:
    accuracy, ece = (np.array([point[axis] for point in cloud]) for axis in (0, 1))
    front = [point for point, kept in zip(cloud, non_dominated(accuracy, ece), strict=True) if kept]
    (a0, e0), (a1, e1) = min(front), max(front)
    # Twice the area of the triangle with the chord's ends, which grows with the distance; positive on the side of the ideal.
    areas = [((point[0] - a0) * (e1 - e0) - (point[1] - e0) * (a1 - a0)) for point in front]
    chosen = knee([point[0] for point in front], [point[1] for point in front])
    assert areas[chosen] == pytest.approx(max(areas))
    assert front[chosen][0] == max(point[0] for point, area in zip(front, areas, strict=True) if area == pytest.approx(max(areas)))
