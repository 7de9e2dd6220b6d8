from __future__ import annotations

import math

import pytest

from studies.ledger import Event
from studies.statistics.confirmed import METRICS, ConfirmedPoint, confirmed_points, corruption_accuracies, summarise_point
from studies.tables import Tables, build_tables
from tests.studies._dummies import CONSTANTS, make_choice, make_confirmation, make_events

ARMS = ["cross_entropy/none", "bsd/none"]
SEARCHED = [("bsd/none", 0, 0.9, 0.3), ("bsd/none", 1, 0.8, 0.1), ("cross_entropy/none", 0, 0.85, 0.2)]
CHOICE = make_choice({("bsd/none", 0): "best_accuracy", ("bsd/none", 1): "knee, best_ece", ("cross_entropy/none", 0): "best_accuracy"})


def make_tables_of(*events: list[Event]) -> Tables:
    return build_tables([*make_events(*SEARCHED), CHOICE, *(event for group in events for event in group)], CONSTANTS)


def make_points(*events: list[Event]) -> list[ConfirmedPoint]:
    return confirmed_points(make_tables_of(*events).trials.to_pylist(), arms=ARMS)


def test_points_stand_by_arm_and_then_by_what_they_are() -> None:
    points = make_points()
    assert [point.trial_id for point in points] == ["cross_entropy-none-0000", "bsd-none-0000", "bsd-none-0001"]
    assert [point.roles for point in points] == [("best_accuracy",), ("best_accuracy",), ("knee", "best_ece")]
    assert points[0].settings == {"learning_rate": 0.1, "weight_decay": 5e-4}


def test_trainings_stand_by_replicate_with_the_failed_ones() -> None:
    events = [make_confirmation("bsd/none", 0, replicate, accuracy) for replicate, accuracy in ((2, 0.7), (0, None), (1, 0.8))]
    point = make_points(*events)[1]
    assert [(row["replicate"], row["state"]) for row in point.trainings] == [(0, "failed"), (1, "complete"), (2, "complete")]
    assert point.values("test_accuracy") == {1: 0.8, 2: 0.7}


def test_the_mean_over_seeds_leaves_out_and_counts_what_failed() -> None:
    events = [make_confirmation("bsd/none", 0, replicate, accuracy) for replicate, accuracy in ((0, 0.7), (1, 0.8), (2, None))]
    summary = summarise_point(make_points(*events)[1], {})
    accuracy = summary.metrics["test_accuracy"]
    assert (summary.n_finished, summary.n_failed, accuracy.n, accuracy.n_missing) == (2, 1, 2, 1)
    assert accuracy.mean == pytest.approx(0.75)
    assert accuracy.high is not None
    assert accuracy.high - 0.75 == pytest.approx(12.706 * 0.05, rel=1e-4)  # t of one degree of freedom; sd / sqrt(2) = 0.05
    assert summary.image_intervals["test_accuracy"] == pytest.approx((0.73, 0.77))


def test_every_metric_of_the_test_split_is_summarised() -> None:
    assert {"test_accuracy", "test_nll", "test_corrupted_ece", "test_flip_probability", "val_ece"} <= set(METRICS)
    assert not {"test_worst_corruption", "test_accuracy_low", "test_ece_high"} & set(METRICS)


def test_one_seed_has_a_mean_and_no_interval() -> None:
    accuracy = summarise_point(make_points(make_confirmation("bsd/none", 0, 0, 0.7))[1], {}).metrics["test_accuracy"]
    assert (accuracy.mean, accuracy.low, accuracy.n_missing) == (0.7, None, 0)


def test_a_point_without_a_finished_training_has_no_numbers() -> None:
    failed = summarise_point(make_points(make_confirmation("bsd/none", 0, 0, None))[1], {})
    unfinished = summarise_point(make_points()[1], {})
    assert (failed.n_failed, failed.metrics["test_accuracy"].n_missing, failed.metrics["test_accuracy"].mean) == (1, 1, None)
    assert (unfinished.n_failed, unfinished.metrics["test_accuracy"].n_missing, unfinished.image_intervals["test_ece"]) == (
        0,
        0,
        (None, None),
    )


def test_a_corruption_is_averaged_over_severities_and_then_over_seeds() -> None:
    tables = make_tables_of(
        make_confirmation("bsd/none", 0, 0, 0.9, corrupted={"fog": [0.8, 0.6], "snow": [0.5]}),
        make_confirmation("bsd/none", 0, 1, 0.9, corrupted={"fog": [0.6, 0.4], "snow": [0.7]}),
    )
    found = corruption_accuracies(tables.evaluations)
    assert found["bsd-none-0000-confirm-0"] == pytest.approx({"fog": 0.7, "snow": 0.5})
    summary = summarise_point(confirmed_points(tables.trials.to_pylist(), arms=ARMS)[1], found)
    assert {name: entry.mean for name, entry in summary.corruption_accuracy.items()} == pytest.approx({"fog": 0.6, "snow": 0.6})
    assert summary.corruption_accuracy["fog"].spread == pytest.approx(math.sqrt(0.02))
