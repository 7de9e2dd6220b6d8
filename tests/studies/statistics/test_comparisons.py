from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from bsd_core.metrics.calibration import expected_calibration_error
from bsd_core.metrics.classification import negative_log_likelihood
from studies.ledger import Event
from studies.predictions import read_predictions
from studies.statistics.comparisons import MethodComparison, by_role, compare_methods, failed_trainings, rank_methods
from studies.statistics.confirmed import ConfirmedPoint, confirmed_points
from studies.statistics.multiple import holm
from studies.statistics.paired import compare, pooled_seed_variance
from studies.statistics.stored import StoredPredictions
from studies.tables import build_tables
from tests.studies._dummies import CONSTANTS, make_choice, make_confirmation, make_events, write_clean_predictions

METHODS = ("bsd", "cross_entropy", "cs_kd")
ALL_ROLES = "best_accuracy, knee, best_ece"
VALUES = {"cross_entropy": (0.70, 0.71, 0.72), "bsd": (0.80, 0.81, 0.825), "cs_kd": (0.70, 0.715, 0.72)}


def make_points(
    values: Mapping[str, tuple[float | None, ...]], *, conditions: tuple[str, ...] = ("none",), roles: dict[str, str] | None = None
) -> list[ConfirmedPoint]:
    """One confirmed point a method, with these accuracies by replicate; ECE is half of what is wrong."""
    arms = [f"{method}/{condition}" for condition in conditions for method in values]
    events: list[Event] = make_events(*((arm, 0, 0.9, 0.1) for arm in arms))
    events.append(make_choice({(arm, 0): (roles or {}).get(arm, ALL_ROLES) for arm in arms}))
    for arm in arms:
        for replicate, accuracy in enumerate(values[arm.partition("/")[0]]):
            events += make_confirmation(arm, 0, replicate, accuracy, 0.0 if accuracy is None else (1 - accuracy) / 2)
    return confirmed_points(build_tables(events, CONSTANTS).trials.to_pylist(), arms=arms)


def nothing_kept(folder: Path) -> StoredPredictions:
    return StoredPredictions(folder / "predictions", seed=0)


def find(pairs: list[MethodComparison], metric: str = "test_accuracy", role: str = "best_accuracy") -> dict[str, MethodComparison]:
    """Of one metric and role, by `method - other`."""
    return {f"{pair.method} - {pair.other}": pair for pair in pairs if (pair.metric, pair.role) == (metric, role)}


# --- over seeds, without predictions


def test_each_method_is_compared_with_plain_training_and_with_those_before_it(tmp_path: Path) -> None:
    pairs = find(compare_methods(make_points(VALUES), nothing_kept(tmp_path)))
    assert list(pairs) == ["bsd - cross_entropy", "cs_kd - cross_entropy", "cs_kd - bsd"]
    better, same, worse = pairs.values()
    assert better.comparison.difference == pytest.approx(0.305 / 3)
    assert (better.verdict, same.verdict, worse.verdict) == ("better", "not distinguishable", "worse")
    assert better.improvement.probability == 1.0
    assert {pair.over for pair in pairs.values()} == {"seeds"}


def test_less_ece_is_better(tmp_path: Path) -> None:
    pair = find(compare_methods(make_points(VALUES), nothing_kept(tmp_path)), "test_ece")["bsd - cross_entropy"]
    assert pair.comparison.difference is not None
    assert pair.comparison.difference < 0
    assert (pair.verdict, pair.improvement.probability) == ("better", 1.0)


def test_holm_corrects_over_pairs_and_conditions_of_a_metric_and_a_role(tmp_path: Path) -> None:
    pairs = compare_methods(make_points(VALUES, conditions=("none", "symmetric_40")), nothing_kept(tmp_path))
    family = [pair for pair in pairs if (pair.metric, pair.role) == ("test_accuracy", "knee")]
    assert [pair.condition for pair in family] == ["none"] * 3 + ["symmetric_40"] * 3
    assert [pair.holm_p for pair in family] == holm([pair.comparison.p_value for pair in family])
    smallest = min(pair.comparison.p_value or 1 for pair in family)
    assert min(pair.holm_p or 1 for pair in family) == pytest.approx(6 * smallest)


def test_metrics_that_nobody_measured_are_left_out(tmp_path: Path) -> None:
    pairs = compare_methods(make_points(VALUES), nothing_kept(tmp_path))
    assert {pair.metric for pair in pairs} == {"test_accuracy", "test_ece", "test_nll", "test_ece_temperature_scaled"}


def test_a_failed_replicate_drops_out_of_both(tmp_path: Path) -> None:
    values = {"cross_entropy": (0.70, None, 0.72, 0.9), "bsd": (0.80, 0.1, 0.825, None)}
    pair = find(compare_methods(make_points(values), nothing_kept(tmp_path)))["bsd - cross_entropy"]
    assert pair.comparison.n_replicates == 2
    assert pair.comparison.difference == pytest.approx((0.10 + 0.105) / 2)


def test_the_chance_to_be_better_counts_what_failed(tmp_path: Path) -> None:
    values = {"cross_entropy": (0.95, 0.951, 0.949), "bsd": (None, None, 0.97)}
    pairs = compare_methods(make_points(values), nothing_kept(tmp_path))
    for metric in ("test_accuracy", "test_ece"):
        assert find(pairs, metric)["bsd - cross_entropy"].improvement.probability == pytest.approx(1 / 3)


def test_without_judgement_the_numbers_are_the_same_and_the_verdicts_are_missing(tmp_path: Path) -> None:
    judged = compare_methods(make_points(VALUES), nothing_kept(tmp_path))
    found = compare_methods(make_points(VALUES), nothing_kept(tmp_path), judged=False)
    assert {pair.verdict for pair in found} == {None}
    assert [(pair.comparison, pair.holm_p) for pair in found] == [(pair.comparison, pair.holm_p) for pair in judged]


def test_one_seed_gives_a_difference_and_no_verdict(tmp_path: Path) -> None:
    pair = find(compare_methods(make_points({"cross_entropy": (0.5,), "bsd": (0.9,)}), nothing_kept(tmp_path)))["bsd - cross_entropy"]
    assert pair.comparison.difference == pytest.approx(0.4)
    assert (pair.comparison.low, pair.holm_p, pair.verdict) == (None, None, "not distinguishable")
    assert "2 seeds or more" in (pair.comparison.reason or "")


def test_a_method_whose_trainings_all_failed_is_compared_without_numbers(tmp_path: Path) -> None:
    pair = find(compare_methods(make_points({"cross_entropy": (0.5, 0.6), "bsd": (None, None)}), nothing_kept(tmp_path)))[
        "bsd - cross_entropy"
    ]
    assert (pair.comparison.difference, pair.comparison.n_replicates, pair.verdict) == (None, 0, "not distinguishable")


def test_nothing_confirmed_gives_no_comparisons(tmp_path: Path) -> None:
    assert compare_methods([], nothing_kept(tmp_path)) == []
    assert compare_methods(make_points({"bsd": (0.8, 0.9)}), nothing_kept(tmp_path)) == []  # nobody to compare with


def test_a_role_counts_where_every_confirmed_method_of_the_condition_has_it() -> None:
    points = make_points(VALUES, conditions=("none", "symmetric_40"), roles={"bsd/none": "knee"})
    assert list(by_role(points, "best_accuracy")) == ["symmetric_40"]
    assert list(by_role(points, "knee")) == ["none", "symmetric_40"]


# --- over seeds and images


def keep_predictions(folder: Path, points: list[ConfirmedPoint], *, n: int = 400, skill: dict[str, float] | None = None) -> None:
    """Clean predictions of every training: the same images are hard for all."""
    difficulty = np.random.default_rng(0).normal(1.0, 1.0, n)
    for point in points:
        for row in point.finished:
            own = np.random.default_rng([*point.method.encode(), row["replicate"]])
            margin = difficulty + (skill or {}).get(point.method, 0.0) + own.normal(0, 0.3, n)
            write_clean_predictions(folder, row["trial_id"], 0.5 + 0.49 * np.tanh(np.abs(margin)), margin > 0)


def test_kept_predictions_make_the_comparison_one_over_images_too(tmp_path: Path) -> None:
    points = make_points(VALUES)
    keep_predictions(tmp_path, points, skill={"bsd": 2.0})
    pairs = compare_methods(points, StoredPredictions(tmp_path, seed=0))
    assert {(pair.metric, pair.over) for pair in pairs} == {
        (metric, "seeds and images") for metric in ("test_accuracy", "test_ece", "test_nll", "test_ece_temperature_scaled")
    }
    found = find(pairs)
    assert found["bsd - cross_entropy"].verdict == "better"
    assert found["cs_kd - cross_entropy"].verdict == "not distinguishable"


def test_the_seeds_of_all_methods_of_a_condition_speak_together(tmp_path: Path) -> None:
    points = make_points(VALUES)
    keep_predictions(tmp_path, points)
    predictions = StoredPredictions(tmp_path, seed=0)
    found = find(compare_methods(points, predictions))["bsd - cross_entropy"].comparison
    assert found.degrees_of_freedom == 4  # (3 - 1) (3 - 1)
    seeds = pooled_seed_variance([point.values("test_accuracy") for point in points])
    cross_entropy, bsd = (predictions.resampled(point) for point in points[:2])
    assert cross_entropy is not None
    assert bsd is not None
    assert found == compare(bsd.accuracy, cross_entropy.accuracy, seeds=seeds)


def test_corrupted_metrics_are_known_by_network_alone(tmp_path: Path) -> None:
    points = make_points(VALUES)
    keep_predictions(tmp_path, points)
    for point in points:
        point.trainings[:] = [row | {"test_corrupted_accuracy": row["test_accuracy"] / 2} for row in map(dict, point.trainings)]
    pair = find(compare_methods(points, StoredPredictions(tmp_path, seed=0)), "test_corrupted_accuracy")["bsd - cross_entropy"]
    assert (pair.over, pair.verdict, pair.comparison.degrees_of_freedom) == ("seeds", "better", 2)


def test_the_difference_is_that_of_the_predictions_themselves(tmp_path: Path) -> None:
    points = make_points({"cross_entropy": (0.5, 0.6), "bsd": (0.7, 0.8)})
    keep_predictions(tmp_path, points, skill={"bsd": 1.0})
    pairs = compare_methods(points, StoredPredictions(tmp_path, seed=0))

    def mean(method: str) -> tuple[float, float, float, float]:
        kept = [read_predictions(tmp_path / f"{method}-none-0000-confirm-{replicate}.parquet")[0] for replicate in range(2)]
        hits = [(found.logits.argmax(1) == found.targets).mean() for found in kept]
        given = [(torch.tensor(found.logits, dtype=torch.float64), torch.tensor(found.targets)) for found in kept]
        errors = [float(expected_calibration_error(logits.softmax(1), targets)) for logits, targets in given]
        nll = [float(negative_log_likelihood(logits.softmax(1), targets)) for logits, targets in given]
        scaled = [float(expected_calibration_error((logits / 1.5).softmax(1), targets)) for logits, targets in given]  # their temperature
        return float(np.mean(hits)), float(np.mean(errors)), float(np.mean(nll)), float(np.mean(scaled))

    for metric, a, b in zip(
        ("test_accuracy", "test_ece", "test_nll", "test_ece_temperature_scaled"), mean("bsd"), mean("cross_entropy"), strict=True
    ):
        assert find(pairs, metric)["bsd - cross_entropy"].comparison.difference == pytest.approx(a - b, abs=1e-12)


def test_a_training_that_lost_its_predictions_falls_back_to_seeds(tmp_path: Path) -> None:
    points = make_points(VALUES)
    keep_predictions(tmp_path, points)
    (tmp_path / "bsd-none-0000-confirm-1.parquet").unlink()
    found = find(compare_methods(points, StoredPredictions(tmp_path, seed=0)))
    assert found["bsd - cross_entropy"].over == "seeds"
    assert found["cs_kd - cross_entropy"].over == "seeds and images"


def test_predictions_of_other_images_are_not_paired(tmp_path: Path) -> None:
    points = make_points({"cross_entropy": (0.5, 0.6), "bsd": (0.7, 0.8)})
    keep_predictions(tmp_path, points[:1], n=30)
    keep_predictions(tmp_path, points[1:], n=31)
    assert find(compare_methods(points, StoredPredictions(tmp_path, seed=0)))["bsd - cross_entropy"].over == "seeds"


# --- ranking


def test_methods_are_ranked_by_their_means_and_ties_with_the_best_are_said(tmp_path: Path) -> None:
    points = make_points(VALUES)
    ranked = rank_methods(points, compare_methods(points, nothing_kept(tmp_path)))["best_accuracy"]["none"]
    assert [(place.method, place.tied_with_best) for place in ranked["test_accuracy"]] == [
        ("bsd", True),
        ("cs_kd", False),
        ("cross_entropy", False),
    ]
    assert [place.method for place in ranked["test_ece"]] == ["bsd", "cs_kd", "cross_entropy"]  # down


def test_what_cannot_be_told_from_the_best_is_tied_with_it(tmp_path: Path) -> None:
    points = make_points({"cross_entropy": (0.70, 0.71), "bsd": (0.71, 0.705)})
    ranked = rank_methods(points, compare_methods(points, nothing_kept(tmp_path)))["knee"]["none"]["test_accuracy"]
    assert [(place.method, place.tied_with_best) for place in ranked] == [("bsd", True), ("cross_entropy", True)]


def test_a_method_without_a_finished_training_stands_last(tmp_path: Path) -> None:
    points = make_points({"cross_entropy": (None, None), "bsd": (0.5, 0.6), "cs_kd": (0.5, 0.7)})
    ranked = rank_methods(points, compare_methods(points, nothing_kept(tmp_path)))["knee"]["none"]["test_accuracy"]
    assert [(place.method, place.tied_with_best) for place in ranked][-1] == ("cross_entropy", None)


def test_compared_settings_whose_trainings_failed_are_named(tmp_path: Path) -> None:
    assert failed_trainings(make_points(VALUES)) == []
    values = {"cross_entropy": (0.5, 0.6), "bsd": (None, 0.7), "cs_kd": (None, None)}
    assert failed_trainings(make_points(values, conditions=("none", "symmetric_40"))) == [
        f"{method} finished {n} of 2 trainings in condition {condition}"
        for condition in ("none", "symmetric_40")
        for method, n in (("bsd", 1), ("cs_kd", 0))
    ]
    assert failed_trainings(make_points({"bsd": (None, 0.7)})) == []  # compared with nothing
    assert failed_trainings(make_points(values, roles={"bsd/none": "front"})) == []  # not a role of all
