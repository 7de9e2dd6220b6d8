from __future__ import annotations

from typing import Any

import pytest

from studies.operating_points import OPERATING_POINTS, OPERATING_ROLES, OperatingPoint, operating_points
from studies.statistics.confirmed import ARM_ROLES

OBJECTIVES = ("val_accuracy", "val_ece")
NO_WORSE = "no_worse_than_cross_entropy"
METHODS = ("cs_kd", "bsd", "cross_entropy")


def make_row(trial_id: str, accuracy: float | None, ece: float | None, **changes: Any) -> dict[str, Any]:
    """A chosen trial `<method>-<condition>-<number>`."""
    method, condition, _ = trial_id.split("-")
    plain = {"phase": "search", "state": "complete", "sampler": "tpe", "chosen_as": "front"}
    return {"trial_id": trial_id, "method": method, "condition": condition, "val_accuracy": accuracy, "val_ece": ece, **plain, **changes}


def find(rows: list[dict[str, Any]], name: str, *, max_ece: float = 0.05) -> list[OperatingPoint]:
    found = operating_points(rows, objectives=OBJECTIVES, max_ece=max_ece)
    assert {point.name for point in found} <= set(OPERATING_POINTS)
    return [point for point in found if point.name == name]


def trial_ids(points: list[OperatingPoint]) -> dict[str | None, str | None]:
    return {point.condition: point.trial_id for point in points}


def test_the_knee_is_of_the_front_of_all_methods() -> None:
    # Scaled to the front's range: (1, 1), (0.75, 0.25), (0, 0); bsd-none-1 would be the knee of its arm, but bsd-none-0 is beaten.
    rows = [
        make_row("cross_entropy-none-0", 0.9, 0.4),
        make_row("cs_kd-none-0", 0.8, 0.1),
        make_row("bsd-none-0", 0.79, 0.2),
        make_row("bsd-none-1", 0.5, 0.0),
    ]
    assert find(rows, "knee") == [
        OperatingPoint(
            name="knee",
            condition="none",
            method="cs_kd",
            trial_id="cs_kd-none-0",
            reason="the knee of the front of all methods, which has 3 of 4 trials",
        )
    ]


def test_the_most_accurate_under_the_bound_is_accurate_and_calibrated() -> None:
    rows = [
        make_row("bsd-none-0", 0.9, 0.051),
        make_row("bsd-none-1", 0.8, 0.04),
        make_row("cs_kd-none-0", 0.8, 0.03),
        make_row("cs_kd-none-1", 0.7, 0.05),  # the bound itself is allowed
    ]
    (point,) = find(rows, "accurate_and_calibrated")
    assert (point.trial_id, point.reason) == ("cs_kd-none-0", "the most accurate of 3 trials with an ECE of at most 5 %")
    assert trial_ids(find(rows[:1] + rows[3:], "accurate_and_calibrated")) == {"none": "cs_kd-none-1"}


def test_a_bound_that_no_trial_keeps_is_said_with_the_lowest_ece() -> None:
    (point,) = find([make_row("bsd-none-0", 0.9, 0.25), make_row("bsd-none-1", 0.8, 0.125)], "accurate_and_calibrated")
    assert (point.method, point.trial_id) == (None, None)
    assert point.reason == "no trial has an ECE of at most 5 %; the lowest is of bsd-none-1 (accuracy 80.0 %, ECE 12.5 %)"


def test_reasons_say_which_images_the_objectives_are_of() -> None:
    rows = [
        make_row("cross_entropy-none-0", 0.8, None, val_corrupted_ece=0.25),
        make_row("bsd-none-0", 0.9, None, val_corrupted_ece=0.125),
    ]
    objectives = ("val_accuracy", "val_corrupted_ece")
    reasons = [point.reason for point in operating_points(rows, objectives=objectives, max_ece=0.05)]
    corrupted = "ECE on corrupted images"
    assert (
        f"no trial has an {corrupted} of at most 5 %; the lowest is of bsd-none-0 (accuracy on clean images 90.0 %, {corrupted} 12.5 %)"
        in reasons
    )
    plain = f"cross_entropy-none-0 (accuracy on clean images 80.0 %, {corrupted} 25.0 %)"
    assert f"no worse in both objectives than {plain}, as bsd is in every condition" in reasons
    (_, kept, *_) = operating_points(rows, objectives=objectives, max_ece=0.2)
    assert kept.reason == f"the most accurate of 1 trials with an {corrupted} of at most 20 %"


def test_a_method_must_be_no_worse_in_every_condition() -> None:
    rows = [
        make_row("cross_entropy-none-0", 0.90, 0.10),  # the most accurate is compared with
        make_row("cross_entropy-none-1", 0.80, 0.02),
        make_row("cross_entropy-flip-0", 0.60, 0.30),
        make_row("bsd-none-0", 0.90, 0.10),  # as good counts
        make_row("bsd-flip-0", 0.61, 0.20),
        make_row("bsd-flip-1", 0.65, 0.29),  # the more accurate of two that are good enough
        make_row("bsd-flip-2", 0.70, 0.31),  # worse in ECE
        make_row("cs_kd-none-0", 0.95, 0.05),
        make_row("cs_kd-flip-0", 0.59, 0.05),  # worse in accuracy: the method is out in all conditions
        make_row("elr-none-0", 0.99, 0.01),  # nothing in the other condition
    ]
    points = find(rows, NO_WORSE)
    assert trial_ids(points) == {"none": "bsd-none-0", "flip": "bsd-flip-1"}
    assert {point.method for point in points} == {"bsd"}
    assert points[0].reason == (
        "no worse in both objectives than cross_entropy-none-0 (accuracy 90.0 %, ECE 10.0 %), as bsd is in every condition"
    )


def test_of_several_methods_the_one_with_the_higher_mean_accuracy_is_taken() -> None:
    plain = [make_row("cross_entropy-none-0", 0.5, 0.3), make_row("cross_entropy-flip-0", 0.4, 0.3)]
    bsd = [make_row("bsd-none-0", 0.9, 0.1), make_row("bsd-flip-0", 0.5, 0.1)]  # mean 0.7
    cs_kd = [make_row("cs_kd-none-0", 0.8, 0.2), make_row("cs_kd-flip-0", 0.7, 0.2)]  # mean 0.75
    assert trial_ids(find(plain + bsd + cs_kd, NO_WORSE)) == {"none": "cs_kd-none-0", "flip": "cs_kd-flip-0"}
    equal = [row | {"val_accuracy": other["val_accuracy"]} for row, other in zip(bsd, cs_kd, strict=True)]
    assert trial_ids(find(plain + cs_kd + equal, NO_WORSE)) == {"none": "bsd-none-0", "flip": "bsd-flip-0"}  # then the lower mean ECE


def test_without_a_method_that_qualifies_one_point_says_so() -> None:
    (point,) = find([make_row("cross_entropy-none-0", 0.9, 0.1), make_row("bsd-none-0", 0.9, 0.2)], NO_WORSE)
    assert (point.condition, point.method, point.trial_id) == (None, None, None)
    assert point.reason == "no other method is, in every condition, as good in both objectives as the most accurate cross_entropy"


def test_without_the_reference_in_a_condition_one_point_says_so() -> None:
    rows = [make_row("cross_entropy-none-0", 0.5, 0.3), make_row("bsd-none-0", 0.9, 0.1), make_row("bsd-flip-0", 0.5, 0.1)]
    assert [point.reason for point in find(rows, NO_WORSE)] == ["condition flip has no finished trial of cross_entropy to compare with"]


def test_another_reference_can_be_compared_with() -> None:
    rows = [make_row("kd-none-0", 0.5, 0.3), make_row("bsd-none-0", 0.9, 0.1)]
    found = operating_points(rows, objectives=OBJECTIVES, max_ece=0.05, reference="kd")
    assert [point.trial_id for point in found if point.name == NO_WORSE] == ["bsd-none-0"]


def test_trials_count_whether_they_were_confirmed_or_not() -> None:
    rows = [
        make_row("cross_entropy-none-0", 0.95, 0.20),
        make_row("cross_entropy-none-1", 0.94, 0.02, chosen_as=None),
        make_row("bsd-none-0", 0.96, 0.30),
        make_row("bsd-none-1", 0.955, 0.10, chosen_as=None),
    ]
    assert {point.name: point.trial_id for point in operating_points(rows, objectives=OBJECTIVES, max_ece=0.05)} == {
        "knee": "bsd-none-1",
        "accurate_and_calibrated": "cross_entropy-none-1",
        NO_WORSE: "bsd-none-1",
    }


def test_the_order_of_trials_makes_no_difference() -> None:
    """Of equally good trials the first by name is taken, so that a ledger and its tables recommend the same."""
    rows = [make_row(f"{method}-{condition}-{n}", 0.9, 0.04) for method in METHODS for condition in ("none", "flip") for n in (0, 1)]
    points = operating_points(rows, objectives=OBJECTIVES, max_ece=0.05)
    again = operating_points(reversed(rows), objectives=OBJECTIVES, max_ece=0.05)
    assert sorted(again, key=str) == sorted(points, key=str)
    assert [point.trial_id for point in points if point.name == "knee"] == ["bsd-none-0", "bsd-flip-0"]


def test_roles_cannot_be_taken_for_those_of_an_arm() -> None:
    rows = [make_row("cross_entropy-none-0", 0.9, 0.04), make_row("bsd-none-0", 0.9, 0.04)]
    roles = [point.role for point in operating_points(rows, objectives=OBJECTIVES, max_ece=0.05)]
    assert roles == ["condition_knee", "accurate_and_calibrated", NO_WORSE] == list(OPERATING_ROLES)
    assert not set(roles) & set(ARM_ROLES)


@pytest.mark.parametrize("changes", [{"sampler": "random"}, {"phase": "confirm"}, {"state": "stopped"}, {"state": "failed"}])
def test_other_rows_are_never_recommended(changes: dict[str, str]) -> None:
    rows = [make_row("cross_entropy-none-0", 0.6, 0.1), make_row("bsd-none-0", 0.7, 0.03)]
    better = make_row("bsd-none-1", 0.99, 0.0, **changes)
    assert {point.trial_id for point in operating_points([*rows, better], objectives=OBJECTIVES, max_ece=0.05)} == {"bsd-none-0"}


def test_a_condition_in_which_all_failed_has_no_points() -> None:
    rows = [make_row("cross_entropy-none-0", 0.6, 0.04), make_row("cross_entropy-flip-0", None, None, state="failed")]
    points = operating_points(rows, objectives=OBJECTIVES, max_ece=0.05)
    assert [(point.name, point.reason) for point in points if point.condition == "flip"] == [
        ("knee", "no finished trial"),
        ("accurate_and_calibrated", "no finished trial"),
    ]
    assert [(point.name, point.reason) for point in operating_points([], objectives=OBJECTIVES, max_ece=0.05)] == [
        (NO_WORSE, "no finished trial")
    ]


def test_other_objectives_choose() -> None:
    rows = [make_row("bsd-none-0", 0.9, 0.1, val_corrupted_accuracy=0.5), make_row("bsd-none-1", 0.8, 0.1, val_corrupted_accuracy=0.6)]
    found = operating_points(rows, objectives=("val_corrupted_accuracy", "val_ece"), max_ece=0.2)
    assert {point.trial_id for point in found[:2]} == {"bsd-none-1"}
