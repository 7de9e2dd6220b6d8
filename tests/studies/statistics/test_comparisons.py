from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from bsd_core.metrics.calibration import expected_calibration_error
from studies.ledger import Event
from studies.predictions import read_predictions
from studies.statistics.comparisons import (
    MethodComparison,
    StoredPredictions,
    by_role,
    compare_methods,
    rank_methods,
    top_confidence,
)
from studies.statistics.confirmed import ConfirmedPoint, confirmed_points
from studies.statistics.multiple import holm
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
    assert {pair.over for pair in pairs if pair.metric in ("test_accuracy", "test_ece")} == {"seeds and images"}
    assert {pair.over for pair in pairs if pair.metric == "test_nll"} == {"seeds"}
    found = find(pairs)
    assert found["bsd - cross_entropy"].verdict == "better"
    assert found["cs_kd - cross_entropy"].verdict == "not distinguishable"


def test_the_difference_is_that_of_the_predictions_themselves(tmp_path: Path) -> None:
    points = make_points({"cross_entropy": (0.5, 0.6), "bsd": (0.7, 0.8)})
    keep_predictions(tmp_path, points, skill={"bsd": 1.0})
    pairs = compare_methods(points, StoredPredictions(tmp_path, seed=0))

    def mean(method: str) -> tuple[float, float]:
        kept = [read_predictions(tmp_path / f"{method}-none-0000-confirm-{replicate}.parquet")[0] for replicate in range(2)]
        hits = [(found.logits.argmax(1) == found.targets).mean() for found in kept]
        probs = [torch.tensor(found.logits, dtype=torch.float64).softmax(1) for found in kept]
        errors = [float(expected_calibration_error(prob, torch.tensor(found.targets))) for prob, found in zip(probs, kept, strict=True)]
        return float(np.mean(hits)), float(np.mean(errors))

    accuracy, ece = (find(pairs, metric)["bsd - cross_entropy"].comparison.difference for metric in ("test_accuracy", "test_ece"))
    assert accuracy == pytest.approx(mean("bsd")[0] - mean("cross_entropy")[0], abs=1e-12)
    assert ece == pytest.approx(mean("bsd")[1] - mean("cross_entropy")[1], abs=1e-12)


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


def test_the_confidence_is_softmaxs_largest_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = np.random.default_rng(0).normal(0, 3, (50, 4)).astype(np.float16)
    whole = top_confidence(logits)
    np.testing.assert_allclose(whole, torch.from_numpy(logits).double().softmax(1).amax(1).numpy(), rtol=1e-12)
    monkeypatch.setattr("studies.statistics.comparisons._BLOCK", 12)
    np.testing.assert_array_equal(top_confidence(logits), whole)


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
