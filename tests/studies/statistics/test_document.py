from __future__ import annotations

import json
import math
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bsd_core.errors import DataError
from studies.ledger import Event
from studies.pareto import hypervolume
from studies.spec import StudySpec
from studies.statistics.document import as_json, collect_statistics, update_statistics
from studies.statistics.file import DOCUMENT_VERSION, write_statistics
from studies.statistics.seeds import SeedSummary
from studies.tables import build_tables
from tests.studies._dummies import (
    CONSTANTS,
    make_choice,
    make_confirmation,
    make_events,
    make_run,
    make_spec,
    make_suggest,
    write_clean_predictions,
)

ARMS = ("cross_entropy/none", "bsd/none")
SEARCHED = [
    ("cross_entropy/none", 0, 0.85, 0.2),
    ("cross_entropy/none", 1, 0.80, 0.3),
    ("bsd/none", 0, 0.9, 0.3),
    ("bsd/none", 1, 0.8, 0.1),
]
CHOICE = make_choice(
    {("cross_entropy/none", 0): "best_accuracy, knee, best_ece", ("bsd/none", 0): "best_accuracy", ("bsd/none", 1): "best_ece"}
)
CONFIRM: dict[str, Any] = {"confirm": {"seeds": 2}}


def confirmations(*, replicates: int = 2) -> list[Event]:
    """Trainings of the three points: the accuracy falls by 0.01 with the replicate."""
    points = [("cross_entropy/none", 0, 0.80, 0.2), ("bsd/none", 0, 0.85, 0.3), ("bsd/none", 1, 0.75, 0.1)]
    trainings = [
        make_confirmation(arm, number, replicate, accuracy - 0.01 * replicate, ece)
        for replicate in range(replicates)
        for arm, number, accuracy, ece in points
    ]
    return [CHOICE, *(event for training in trainings for event in training)]


def collect(events: list[Event], folder: Path, spec: StudySpec | None = None) -> dict[str, Any]:
    return collect_statistics(build_tables(events, CONSTANTS), spec or make_spec(**CONFIRM), folder)


def by_trial(document: dict[str, Any]) -> dict[str, Any]:
    return {point["trial_id"]: point for point in document["confirmed"]}


def test_confirmed_settings_stand_with_their_means_over_seeds(tmp_path: Path) -> None:
    document = collect([*make_events(*SEARCHED), *confirmations()], tmp_path)
    points = by_trial(document)
    assert list(points) == ["cross_entropy-none-0000", "bsd-none-0000", "bsd-none-0001"]
    assert points["bsd-none-0000"]["metrics"]["test_accuracy"]["mean"] == pytest.approx(0.845)
    assert points["bsd-none-0000"]["roles"] == ["best_accuracy"]
    assert document["setup"] == {"n_test": 100, "seeds": 2, "noise_seeds": "fresh", "train_on": "train"}


def test_equal_inputs_give_an_equal_document_of_plain_json(tmp_path: Path) -> None:
    events = [*make_events(*SEARCHED), *confirmations()]
    document = collect(events, tmp_path)
    assert collect(events, tmp_path) == document
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_methods_are_ranked_where_budgets_are_equal(tmp_path: Path) -> None:
    document = collect([*make_events(*SEARCHED), *confirmations()], tmp_path)
    places = document["ranking"]["best_accuracy"]["none"]["test_accuracy"]
    assert [place["method"] for place in places] == ["bsd", "cross_entropy"]
    assert document["not_ranked_because"] == []


def test_unequal_budgets_refuse_the_ranking_and_keep_the_comparisons(tmp_path: Path) -> None:
    document = collect([*make_events(*SEARCHED, ("bsd/none", 2, 0.7, 0.5)), *confirmations()], tmp_path)
    assert document["ranking"] is None
    assert document["not_ranked_because"] == ["finished trials: cross_entropy/none 2, bsd/none 3"]
    assert {pair["verdict"] for pair in document["comparisons"]} == {None}
    assert document["comparisons"][0]["difference"] == pytest.approx(0.05)


def test_a_training_that_failed_refuses_the_ranking_and_keeps_the_verdicts(tmp_path: Path) -> None:
    failed = [make_confirmation("bsd/none", 0, replicate, accuracy) for replicate, accuracy in ((0, 0.97), (1, None))]
    others = [event for event in confirmations() if not str(event.get("trial_id", "")).startswith("bsd-none-0000")]
    document = collect([*make_events(*SEARCHED), *others, *(event for training in failed for event in training)], tmp_path)
    assert document["ranking"] is None
    assert document["not_ranked_because"] == ["bsd finished 1 of 2 trainings in condition none"]
    assert {pair["verdict"] for pair in document["comparisons"]} == {"not distinguishable"}


def test_a_comparison_carries_its_numbers_and_its_names(tmp_path: Path) -> None:
    pair = collect([*make_events(*SEARCHED), *confirmations()], tmp_path)["comparisons"][0]
    assert (pair["role"], pair["metric"], pair["method"], pair["other"]) == ("best_accuracy", "test_accuracy", "bsd", "cross_entropy")
    assert pair["difference"] == pytest.approx(0.05)
    assert pair["over"] == "seeds"
    assert "error cannot be told" in pair["reason"]  # both fall by 0.01: all differences are equal


def test_stored_predictions_are_found_by_trial(tmp_path: Path) -> None:
    for trial in ("cross_entropy-none-0000", "bsd-none-0000"):
        for replicate in range(2):
            rng = np.random.default_rng([*trial.encode(), replicate])
            write_clean_predictions(tmp_path, f"{trial}-confirm-{replicate}", rng.uniform(0.5, 1, 60), rng.random(60) < 0.8)
    pairs = collect([*make_events(*SEARCHED), *confirmations()], tmp_path)["comparisons"]
    over = {(pair["role"], pair["over"]) for pair in pairs if pair["metric"] == "test_ece"}
    assert over == {("best_accuracy", "seeds and images"), ("best_ece", "seeds")}  # the second of bsd kept nothing
    (tmp_path / "bsd-none-0000-confirm-1.parquet").write_bytes(b"broken")
    with pytest.raises(DataError, match="not a file of predictions"):
        collect([*make_events(*SEARCHED), *confirmations()], tmp_path)


# --- fronts


def test_the_confirmed_front_of_an_arm_is_that_of_its_points_seed_by_seed(tmp_path: Path) -> None:
    front = collect([*make_events(*SEARCHED), *confirmations()], tmp_path)["fronts"]["confirmed"]["bsd/none"]
    by_hand = [hypervolume([0.85, 0.75], [0.3, 0.1]), hypervolume([0.84, 0.74], [0.3, 0.1])]
    assert front["objectives"] == ["test_accuracy", "test_ece"]
    assert front["hypervolume"]["mean"] == pytest.approx(sum(by_hand) / 2)
    assert front["attainment"]["75"] == [pytest.approx([0.84, 0.3]), pytest.approx([0.74, 0.1])]  # what both seeds reach


def test_a_seed_that_not_all_points_have_come_to_is_no_front_yet(tmp_path: Path) -> None:
    unfinished = [*make_events(*SEARCHED), *confirmations(), *make_confirmation("bsd/none", 0, 2, 0.99, 0.0)]
    assert collect(unfinished, tmp_path)["fronts"]["confirmed"]["bsd/none"]["hypervolume"]["n"] == 2


def test_the_search_of_an_arm_and_of_its_random_twin_is_followed_trial_by_trial(tmp_path: Path) -> None:
    twin = [
        event | {"sampler": "random"} if event["event"] == "suggest" else event for event in make_events(("bsd/none/random", 0, 0.5, 0.5))
    ]
    twin[0] |= {"condition": "none"}
    document = collect([*make_events(*SEARCHED), *twin], tmp_path, make_spec(baseline="random"))
    search = document["fronts"]["search"]
    assert search["bsd/none"]["anytime"] == {
        "n_trials": [1, 2],
        "train_seconds": [1.5, 3.0],
        "epochs": [2, 4],
        "hypervolume": pytest.approx([0.9 * 0.7, 0.9 * 0.7 + 0.8 * 0.9 - 0.8 * 0.7]),
    }
    assert search["bsd/none/random"]["anytime"]["hypervolume"] == pytest.approx([0.25])
    assert "bsd/none/random" not in document["fronts"]["confirmed"]


def test_the_winners_curse_is_search_less_confirmed(tmp_path: Path) -> None:
    curse = collect([*make_events(*SEARCHED), *confirmations()], tmp_path)["winners_curse"]
    assert curse["mean_shrinkage"]["val_accuracy"]["mean"] == pytest.approx(np.mean([0.85 - 0.795, 0.9 - 0.845, 0.8 - 0.745]))
    assert curse["mean_shrinkage"]["val_accuracy"]["n"] == 3


# --- what the search says


def test_importance_is_by_searched_setting_and_not_told_of_few_trials(tmp_path: Path) -> None:
    many = [("bsd/none", number, 0.5 + 0.02 * number, 0.1) for number in range(8)]
    searched = make_events(*many)
    settings = {"prior_strength": 10.0, "discount": 0.9, "temperature": 1.0, "learning_rate": 0.1}
    for event in searched:
        if event["event"] == "suggest":
            event["params"] = settings | {"weight_decay": 1e-5 * 2 ** event["trial_number"]}
    importance = collect([*searched, *make_events(*SEARCHED[:2])], tmp_path)["importance"]
    assert importance["cross_entropy/none"] == {"val_accuracy": None, "val_ece": None}
    shares = importance["bsd/none"]["val_accuracy"]
    assert set(shares) == {*settings, "weight_decay"}
    assert max(shares, key=lambda name: shares[name]["value"]) == "weight_decay"  # the only one that moved
    assert importance["bsd/none"]["val_ece"] is None  # all alike


def test_operating_points_bring_their_confirmed_values(tmp_path: Path) -> None:
    points = collect([*make_events(*SEARCHED), *confirmations()], tmp_path)["operating_points"]
    (knee,) = [point for point in points if point["name"] == "knee"]
    assert (
        knee["test_accuracy"]
        == by_trial(collect([*make_events(*SEARCHED), *confirmations()], tmp_path))[knee["trial_id"]]["metrics"]["test_accuracy"]
    )
    (calibrated,) = [point for point in points if point["name"] == "accurate_and_calibrated"]
    assert (calibrated["trial_id"], calibrated["test_ece"]) == (None, None)  # no ECE of at most 0.05


def test_an_operating_point_finds_the_confirmed_repeat_of_its_setting(tmp_path: Path) -> None:
    """Both trials of bsd have one setting: the second was confirmed, the first is the knee."""
    events = make_events(*SEARCHED, params={"learning_rate": 0.1, "weight_decay": 5e-4})
    choice = make_choice({("bsd/none", 1): "best_ece"})
    points = collect([*events, choice, *make_confirmation("bsd/none", 1, 0, 0.7)], tmp_path)["operating_points"]
    (knee,) = [point for point in points if point["name"] == "knee"]
    assert (knee["trial_id"], knee["confirmed_as"], knee["test_accuracy"]["mean"]) == ("bsd-none-0000", "bsd-none-0001", 0.7)
    (calibrated,) = [point for point in points if point["name"] == "accurate_and_calibrated"]
    assert (calibrated["trial_id"], calibrated["confirmed_as"]) == (None, None)


def test_what_only_an_operating_point_names_is_compared_by_no_role_and_adds_no_area(tmp_path: Path) -> None:
    own = {("cross_entropy/none", 0): "best_accuracy", ("bsd/none", 0): "best_accuracy"}
    more = {("bsd/none", 1): "condition_knee, accurate_and_calibrated"}
    trained = [make_confirmation(arm, number, r, 0.8 - 0.1 * number, 0.2) for r in range(2) for arm, number in [*own, *more]]
    document = collect([*make_events(*SEARCHED), make_choice(own | more), *(event for part in trained for event in part)], tmp_path)
    assert document["confirmed"][-1]["roles"] == ["condition_knee", "accurate_and_calibrated"]
    assert {pair["role"] for pair in document["comparisons"]} == {"best_accuracy"}
    front = document["fronts"]["confirmed"]["bsd/none"]
    assert (front["n_settings"], front["hypervolume"]["mean"]) == (1, pytest.approx(0.8 * 0.8))


def test_operating_points_stand_in_the_order_of_the_studys_conditions(tmp_path: Path) -> None:
    spec = make_spec(conditions=["symmetric:0.4", "none"])
    events = make_events(*((f"{method}/{condition}", 0, 0.9, 0.1) for condition in ("none", "symmetric_40") for method in ("bsd", "cs_kd")))
    points = collect(events, tmp_path, spec)["operating_points"]
    assert list(dict.fromkeys(point["condition"] for point in points)) == ["symmetric_40", "none", None]


def test_the_audit_is_told_with_early_stopping_alone(tmp_path: Path) -> None:
    assert collect(make_events(*SEARCHED), tmp_path)["audit"] is None
    audit = collect(make_events(*SEARCHED), tmp_path, make_spec(stopping="pareto_halving"))["audit"]
    assert audit["bsd/none"] == {"n_stopped": 0, "n_audited": 0, "n_would_have_reached_front": 0}


# --- runs that did not come to everything


@pytest.mark.parametrize(
    ("events", "changes"),
    [
        (make_events(*SEARCHED), {}),
        (make_events(*SEARCHED), CONFIRM),
        ([*make_events(*SEARCHED), CHOICE], CONFIRM),
        ([*make_events(*SEARCHED), CHOICE, make_suggest("bsd/none", 0, phase="confirm")], CONFIRM),
        (make_events(("bsd/none", 0, None, 0.0)), CONFIRM),
    ],
    ids=["confirm: none", "search alone", "chosen", "begun", "all failed"],
)
def test_a_run_that_confirmed_nothing_says_what_can_be_said(events: list[Event], changes: dict[str, Any], tmp_path: Path) -> None:
    document = collect(events, tmp_path, make_spec(**changes))
    assert (document["comparisons"], document["ranking"]) == ([], None)
    assert document["not_ranked_because"][-1] == "no two methods were confirmed in one condition"
    assert document["setup"]["n_test"] is None
    assert all(point["metrics"]["test_accuracy"]["n"] == 0 for point in document["confirmed"])
    assert set(document["fronts"]["confirmed"].values()) == {None}


def test_settings_whose_trainings_all_failed_are_told(tmp_path: Path) -> None:
    failed = [event for replicate in range(2) for event in make_confirmation("bsd/none", 0, replicate, None)]
    point = by_trial(collect([*make_events(*SEARCHED), CHOICE, *failed], tmp_path))["bsd-none-0000"]
    assert (point["n_finished"], point["n_failed"], point["metrics"]["test_accuracy"]["n_missing"]) == (0, 2, 2)


# --- the file


def test_the_file_holds_the_document_and_equal_documents_are_equal_bytes(tmp_path: Path) -> None:
    run = make_run(tmp_path, **CONFIRM)
    tables = build_tables([*make_events(*SEARCHED), *confirmations()], CONSTANTS)
    document = update_statistics(run, tables)
    assert run.statistics == run.path / "report" / "statistics.json"
    content = run.statistics.read_bytes()
    assert json.loads(content) == document
    write_statistics(run, dict(reversed(document.items())))
    assert run.statistics.read_bytes() == content


def test_another_set_of_keys_is_another_version(tmp_path: Path) -> None:
    """Who adds or removes one here gives the document a new version there: readers go by it."""
    keys = (
        *("audit", "budgets", "comparisons", "confirmed", "features", "fronts", "importance", "level", "not_ranked_because"),
        *("operating_points", "ranking", "schema_version", "setup", "winners_curse"),
    )
    document = collect([*make_events(*SEARCHED), *confirmations()], tmp_path)
    assert (DOCUMENT_VERSION, tuple(sorted(document))) == ("1", keys)
    assert document["schema_version"] == DOCUMENT_VERSION


@dataclass
class _Box:
    value: Any


def test_values_become_jsons_types() -> None:
    point = namedtuple("point", "x y")
    assert as_json(_Box(point(np.float64(0.5), [np.int64(2), (True, None)]))) == {"value": {"x": 0.5, "y": [2, [True, None]]}}
    assert as_json({25: [math.nan, math.inf, np.nan]}) == {"25": [None, None, None]}
    assert as_json(SeedSummary(1, 0.5, None, None, None))["mean"] == 0.5
    with pytest.raises(TypeError, match="but got set"):
        as_json({1, 2})
