from __future__ import annotations

from typing import Any

import pytest

from studies.statistics.winners_curse import METRICS, Gap, collect_winners_curse


def make_searched(trial_id: str, accuracy: float, ece: float, *, chosen_as: str | None = "knee", **changes: Any) -> dict[str, Any]:
    return {
        "trial_id": trial_id,
        "arm": "bsd/none",
        "chosen_as": chosen_as,
        "objectives": "val_accuracy, val_ece",
        "validation_labels": "clean",
        "val_accuracy": accuracy,
        "val_ece": ece,
        "val_accuracy_clean_labels": accuracy,
        "val_ece_clean_labels": ece,
        **changes,
    }


def make_confirmed(confirms: str, val: tuple[float, float] | None, test: tuple[float, float], **changes: Any) -> dict[str, Any]:
    val_accuracy, val_ece = val or (None, None)
    values = {"val_accuracy": val_accuracy, "val_ece": val_ece, "test_accuracy": test[0], "test_ece": test[1]}
    return {"confirms": confirms, "state": "complete", **values, **changes}


def test_shrinkage_is_positive_where_the_search_was_too_optimistic() -> None:
    searched = [make_searched("a", 0.90, 0.02, chosen_as="best_accuracy, knee"), make_searched("b", 0.70, 0.01)]
    confirmed = [
        make_confirmed("a", (0.88, 0.03), (0.85, 0.05)),
        make_confirmed("a", (0.86, 0.05), (0.83, 0.03)),
        make_confirmed("b", (0.71, 0.01), (0.70, 0.04)),
    ]
    curse = collect_winners_curse(searched, confirmed)
    first, second = curse.points
    assert (first.trial_id, first.arm, first.roles, first.n_replicates) == ("a", "bsd/none", "best_accuracy, knee", 2)
    assert [first.gaps[metric].confirmed for metric in METRICS] == pytest.approx([0.87, 0.04, 0.84, 0.04])
    assert [first.gaps[metric].shrinkage for metric in METRICS] == pytest.approx([0.90 - 0.87, 0.04 - 0.02, 0.90 - 0.84, 0.04 - 0.02])
    assert [second.gaps[metric].shrinkage for metric in METRICS] == pytest.approx([0.70 - 0.71, 0.0, 0.0, 0.04 - 0.01])
    assert [curse.mean_shrinkage[metric].mean for metric in METRICS] == pytest.approx([0.01, 0.01, 0.03, 0.025])
    assert [curse.mean_shrinkage[metric].n for metric in METRICS] == [2, 2, 2, 2]


def test_trials_that_were_not_chosen_and_trainings_that_failed_do_not_count() -> None:
    searched = [make_searched("a", 0.9, 0.02), make_searched("b", 0.99, 0.0, chosen_as=None)]
    failed = make_confirmed("a", None, (0.1, 0.1), state="failed")
    curse = collect_winners_curse(searched, [make_confirmed("a", (0.8, 0.1), (0.8, 0.1)), failed])
    assert [(point.trial_id, point.n_replicates) for point in curse.points] == [("a", 1)]
    assert curse.mean_shrinkage["test_accuracy"].mean == pytest.approx(0.1)


def test_training_on_validation_images_leaves_only_the_test_split() -> None:
    curse = collect_winners_curse([make_searched("a", 0.9, 0.02)], [make_confirmed("a", None, (0.8, 0.1))])
    assert curse.points[0].gaps["val_accuracy"] == Gap(searched=0.9, confirmed=None, shrinkage=None)
    assert curse.points[0].gaps["test_ece"].shrinkage == pytest.approx(0.08)
    assert (curse.mean_shrinkage["val_ece"].n, curse.mean_shrinkage["val_ece"].mean) == (0, None)


def test_a_point_whose_trainings_all_failed_is_counted_as_missing() -> None:
    searched = [make_searched("a", 0.9, 0.02), make_searched("b", 0.9, 0.02)]
    curse = collect_winners_curse(searched, [make_confirmed("a", (0.8, 0.1), (0.8, 0.1))])
    assert curse.points[1].n_replicates == 0
    assert (curse.mean_shrinkage["val_accuracy"].n, curse.mean_shrinkage["val_accuracy"].n_missing) == (1, 1)


def test_test_values_are_compared_by_true_labels_where_noisy_ones_chose() -> None:
    noisy: dict[str, Any] = {"validation_labels": "noisy", "val_accuracy_clean_labels": 0.9, "val_ece_clean_labels": 0.03}
    curse = collect_winners_curse([make_searched("a", 0.55, 0.02, **noisy)], [make_confirmed("a", (0.50, 0.05), (0.86, 0.04))])
    assert [curse.points[0].gaps[metric].searched for metric in METRICS] == [0.55, 0.02, 0.9, 0.03]
    assert [curse.points[0].gaps[metric].shrinkage for metric in METRICS] == pytest.approx([0.05, 0.03, 0.04, 0.01])


@pytest.mark.parametrize(("labels", "expected"), [("clean", 0.7 - 0.5), ("noisy", None)])
def test_other_objectives_are_compared_with_their_own_test_values(labels: str, expected: float | None) -> None:
    corrupted: dict[str, Any] = {"objectives": "val_corrupted_accuracy, val_ece", "val_corrupted_accuracy": 0.7}
    confirmed = make_confirmed("a", (0.9, 0.1), (0.9, 0.1), val_corrupted_accuracy=0.6, test_corrupted_accuracy=0.5)
    gaps = collect_winners_curse([make_searched("a", 0.9, 0.02, validation_labels=labels, **corrupted)], [confirmed]).points[0].gaps
    assert gaps["val_accuracy"].shrinkage == pytest.approx(0.7 - 0.6)
    assert gaps["test_accuracy"].shrinkage == (None if expected is None else pytest.approx(expected))


def test_without_chosen_trials_there_is_no_curse() -> None:
    curse = collect_winners_curse([make_searched("a", 0.9, 0.1, chosen_as=None)], [])
    assert curse.points == []
    assert [curse.mean_shrinkage[metric].mean for metric in METRICS] == [None] * 4
