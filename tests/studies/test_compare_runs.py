from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from bsd_core.errors import ConfigError, DataError
from studies.compare_runs import Difference, RunComparison, compare_runs, differences
from studies.ledger import Event
from studies.report.compare_runs import render_run_comparison
from studies.results import write_results
from studies.run_folder import RunFolder
from tests.studies._command_line import main
from tests.studies._dummies import make_choice, make_confirmation, make_events, make_run, render

Accuracies = Sequence[float | None]
HIGH, LOW = (0.90, 0.91, 0.92), (0.80, 0.82, 0.81)


def made(
    results: Path,
    confirmed: dict[str, Accuracies] | None = None,
    *,
    labels: str | None = None,
    provenance: dict[str, Any] | None = None,
    trials: Sequence[tuple[str, int, float | None, float]] = (),
    **changes: Any,
) -> RunFolder:
    """A run with its tables; of each method, one setting was confirmed with these test accuracies, and ECE 0.01 times the replicate."""
    methods = list(confirmed or {}) or ["cross_entropy", "bsd"]
    trials = trials or [(f"{method}/none", 0, 0.75, 0.1) for method in methods]
    events: list[Event] = make_events(*trials)
    if confirmed:
        events.append(make_choice({(f"{method}/none", 0): "best_accuracy, knee" for method in methods}))
        for method, values in confirmed.items():
            for replicate, accuracy in enumerate(values):
                training = make_confirmation(f"{method}/none", 0, replicate, accuracy, 0.01 * (replicate + 1))
                training[-1]["noise_fingerprint"] = labels
                for row in training[-1]["evaluations"]:
                    row |= {"nll": 0.5, "brier": 0.3}
                events += training
        changes = {"confirm": {"seeds": max(map(len, confirmed.values()))}, **changes}
    run = make_run(results, events, **{"methods": methods, "trials": 1, **changes})
    (run.path / "provenance.json").write_text(json.dumps({"run_id": run.run_id, **(provenance or {})}), encoding="utf-8")
    assert write_results(run) is not None
    return run


def compared(tmp_path: Path, a: dict[str, Any], b: dict[str, Any]) -> RunComparison:
    return compare_runs(made(tmp_path / "a", **a), made(tmp_path / "b", **b))


def text_of(info: RunComparison) -> str:
    lines = render(render_run_comparison(info))
    assert max(map(len, lines)) <= 80
    return " ".join(" ".join(lines).split())


# --- what differs


def test_nested_fields_are_compared_by_their_names() -> None:
    a = {"epochs": 2, "evaluate": {"severities": [1, 2]}, "augment": {"flip": True}, "same": None}
    b = {"epochs": 3, "evaluate": {"severities": [1]}, "augment": {"flip": True}, "confirm": {"seeds": 5}}
    assert differences(a, b) == [
        Difference("epochs", "2", "3"),
        Difference("evaluate.severities", "1, 2", "1"),
        Difference("confirm.seeds", "-", "5"),
    ]


def test_studies_packages_and_code_that_differ_are_listed(tmp_path: Path) -> None:
    before, after = ({"packages": {"torch": version, "numpy": "2"}, "code": {"commit": "abc"}} for version in ("2.1", "2.2"))
    info = compared(tmp_path, {"provenance": before}, {"provenance": after, "epochs": 4})
    assert info.fields == [Difference("epochs", "2", "4")]
    assert info.made_by == [Difference("packages.torch", "2.1", "2.2")]
    text = text_of(info)
    assert "epochs 2 4" in text
    assert "packages.torch 2.1 2.2" in text


def test_equal_studies_are_said_to_be(tmp_path: Path) -> None:
    text = text_of(compared(tmp_path, {}, {}))
    assert "The studies are the same. Packages, code and machines are the same." in text
    assert "No arm was confirmed in both runs" in text


# --- the search


def test_the_searches_of_common_arms_stand_side_by_side(tmp_path: Path) -> None:
    trials = [("bsd/none", 0, 0.9, 0.2), ("bsd/none", 1, 0.8, 0.1), ("cross_entropy/none", 0, None, 0.0)]
    a = {"trials": trials, "methods": ["cross_entropy", "bsd"]}
    b = {"trials": [("bsd/none", 0, 0.5, 0.5), ("cs_kd/none", 0, 0.5, 0.5)], "methods": ["bsd", "cs_kd"]}
    info = compared(tmp_path, a, b)
    (arm,) = info.arms
    assert arm.arm == "bsd/none"
    # Area from accuracy 0 and ECE 1: 0.8 x 0.9 and the strip from 0.8 to 0.9 of height 0.8.
    assert (arm.search[0].n_finished, arm.search[0].accuracy, arm.search[0].ece) == (2, 0.9, 0.1)
    assert arm.search[0].hypervolume == pytest.approx(0.8 * 0.9 + 0.1 * 0.8)
    assert arm.search[1].hypervolume == pytest.approx(0.25)
    assert info.only == (["cross_entropy/none"], ["cs_kd/none"])
    text = text_of(info)
    assert "bsd/none 2 1 90.0 50.0 10.0 50.0 0.800 0.250" in text
    assert "only in A: cross_entropy/none only in B: cs_kd/none" in text


def test_an_arm_in_which_all_failed_has_no_best(tmp_path: Path) -> None:
    a, b = ({"trials": [("bsd/none", 0, accuracy, 0.1)], "methods": ["bsd"]} for accuracy in (None, 0.75))
    info = compared(tmp_path, a, b)
    assert (info.arms[0].search[0].accuracy, info.arms[0].search[0].hypervolume) == (None, 0.0)
    assert "bsd/none 0 1 - " in text_of(info)


def test_searches_by_other_labels_are_not_set_against_each_other(tmp_path: Path) -> None:
    info = compared(tmp_path, {}, {"validation_labels": "noisy"})
    assert not info.searches_alike
    assert "are not to be set against" in text_of(info)
    assert "are not to be set against" not in text_of(compared(tmp_path / "again", {}, {"epochs": 9}))


def test_runs_without_a_common_arm_can_be_compared(tmp_path: Path) -> None:
    info = compared(
        tmp_path,
        {"methods": ["bsd"], "trials": [("bsd/none", 0, 0.5, 0.1)]},
        {"methods": ["cs_kd"], "trials": [("cs_kd/none", 0, 0.5, 0.1)]},
    )
    assert info.arms == []
    assert "nothing to set side by side" in text_of(info)


# --- what was confirmed


def test_trainings_with_labels_of_their_own_are_compared_by_welch(tmp_path: Path) -> None:
    info = compared(tmp_path, {"confirmed": {"bsd": LOW}, "labels": "x"}, {"confirmed": {"bsd": HIGH}, "labels": "y"})
    pair = info.arms[0].confirmed["test_accuracy"]
    reference = stats.ttest_ind(HIGH, LOW, equal_var=False)
    assert (pair.paired, pair.verdict) == (False, "better")
    assert pair.comparison.difference == pytest.approx(0.1)
    assert pair.comparison.p_value == pytest.approx(reference.pvalue)
    assert pair.comparison.low == pytest.approx(reference.confidence_interval(0.95).low)
    assert info.arms[0].confirmed["test_ece"].verdict == "not distinguishable"
    text = text_of(info)
    assert "Welch's, since not all trainings of the two had the same seeds and labels" in text
    assert "B better (p 0.000" in text or "B better (p < 0.001)" in text
    assert "0.0 [-2.3, +2.3] not distinguishable" in text


def test_trainings_with_equal_seeds_and_labels_are_paired(tmp_path: Path) -> None:
    info = compared(tmp_path, {"confirmed": {"bsd": LOW}, "labels": "x"}, {"confirmed": {"bsd": HIGH}, "labels": "x"})
    pair = info.arms[0].confirmed["test_accuracy"]
    assert pair.paired
    assert pair.comparison.p_value == pytest.approx(stats.ttest_rel(HIGH, LOW).pvalue)
    assert info.pairing == "paired"
    assert "paired over the seeds, which are the same in both" in text_of(info)


def test_trainings_of_which_only_some_share_a_seed_are_not_paired(tmp_path: Path) -> None:
    a: Accuracies = (0.80, 0.82, 0.81, 0.70, 0.72)
    info = compared(tmp_path, {"confirmed": {"bsd": a}, "labels": "x"}, {"confirmed": {"bsd": HIGH}, "labels": "x"})
    pair = info.arms[0].confirmed["test_accuracy"]
    assert not pair.paired
    assert [pair.a.mean, pair.b.mean] == pytest.approx([0.77, 0.91])
    assert pair.comparison.difference == pytest.approx(0.14)  # of the means that are shown
    assert pair.comparison.p_value == pytest.approx(stats.ttest_ind(HIGH, a, equal_var=False).pvalue)
    assert info.unequal_budgets == []  # more seeds are no larger budget: nothing is chosen by them
    assert pair.verdict == "better"


def test_a_pair_of_which_one_training_failed_is_left_to_welch(tmp_path: Path) -> None:
    info = compared(tmp_path, {"confirmed": {"bsd": (*LOW, None)}, "labels": "x"}, {"confirmed": {"bsd": (*HIGH, 0.5)}, "labels": "x"})
    pair = info.arms[0].confirmed["test_accuracy"]
    assert (pair.paired, pair.n_failed) == (False, 1)
    assert pair.comparison.difference == pytest.approx((2.73 + 0.5) / 4 - 0.81)


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ({"trials": [("bsd/none", n, 0.7, 0.1) for n in range(3)]}, {}, "finished trials: A 3, B 1 (bsd/none)"),
        ({"confirm": {"seeds": 5}}, {}, "A: the confirm phase is unfinished: 3 of 5 trainings ended"),
        ({}, {"confirm": {"seeds": 4}}, "B: the confirm phase is unfinished: 3 of 4 trainings ended"),
        ({}, {"budget": "images"}, "budgets are of epochs in A, of images in B"),
    ],
)
def test_nothing_is_judged_on_unequal_budgets(tmp_path: Path, a: dict[str, Any], b: dict[str, Any], words: str) -> None:
    info = compared(tmp_path, {"confirmed": {"bsd": LOW}, **a}, {"confirmed": {"bsd": HIGH}, **b})
    assert info.unequal_budgets == [words]
    pair = info.arms[0].confirmed["test_accuracy"]
    assert pair.verdict is None
    assert pair.comparison.difference == pytest.approx(0.1)
    text = text_of(info)
    assert f"No verdict: budgets are NOT equal, so a difference may be one of budgets: {words}." in text
    assert "better" not in text
    assert "Verdicts:" not in text


def test_with_early_stopping_epochs_are_equal_within_one_training(tmp_path: Path) -> None:
    a: dict[str, Any] = {"confirmed": {"bsd": LOW}, "stopping": "pareto_halving", "epochs": 4}
    info = compared(tmp_path, {**a, "trials": [("bsd/none", 0, 0.7, 0.1)]}, {**a, "trials": [("bsd/none", n, 0.7, 0.1) for n in (0, 1)]})
    assert info.unequal_budgets == []
    b = {**a, "trials": [("bsd/none", n, 0.7, 0.1) for n in range(3)]}
    info = compared(tmp_path / "again", {**a, "trials": [("bsd/none", 0, 0.7, 0.1)]}, b)
    (reason,) = info.unequal_budgets
    assert reason.startswith("epochs of the search: A ")


def test_an_arm_that_only_one_run_confirmed_keeps_no_other_from_being_judged(tmp_path: Path) -> None:
    b: dict[str, Any] = {"confirmed": {"bsd": HIGH}, "methods": ["cross_entropy", "bsd"]}
    trials = [("bsd/none", 0, 0.75, 0.1), *(("cross_entropy/none", n, None, 0.0) for n in range(4))]
    info = compared(tmp_path, {"confirmed": {"cross_entropy": LOW, "bsd": LOW}}, {**b, "trials": trials})
    assert [bool(arm.confirmed) for arm in info.arms] == [False, True]
    assert info.unequal_budgets == []
    assert info.arms[1].confirmed["test_accuracy"].verdict == "better"


def test_a_lower_ece_is_better_and_arms_are_corrected_for(tmp_path: Path) -> None:
    confirmed: dict[str, Accuracies] = {"cross_entropy": (0.70, 0.71, 0.72), "bsd": LOW}
    better: dict[str, Accuracies] = {"cross_entropy": (0.70, 0.72, 0.73), "bsd": HIGH}
    info = compared(tmp_path, {"confirmed": confirmed, "labels": "x"}, {"confirmed": better, "labels": "y"})
    pairs = {arm.arm: arm.confirmed["test_accuracy"] for arm in info.arms}
    raw = pairs["bsd/none"].comparison.p_value
    assert raw is not None
    assert pairs["bsd/none"].holm_p == pytest.approx(2 * raw)
    assert pairs["bsd/none"].verdict == "better"
    assert pairs["cross_entropy/none"].verdict == "not distinguishable"


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ({"dataset": "digits"}, {"dataset": "mnist"}, "the data sets differ (digits, mnist)"),
        (
            {"provenance": {"data": {"fingerprint": "1"}}},
            {"provenance": {"data": {"fingerprint": "2"}}},
            "the data sets' fingerprints differ",
        ),
    ],
)
def test_nothing_is_judged_on_other_data(tmp_path: Path, a: dict[str, Any], b: dict[str, Any], words: str) -> None:
    info = compared(tmp_path, {"confirmed": {"bsd": LOW}, **a}, {"confirmed": {"bsd": HIGH}, **b})
    assert info.not_comparable == [words]
    pair = info.arms[0].confirmed["test_accuracy"]
    assert pair.verdict is None
    assert pair.comparison.difference == pytest.approx(0.1)
    text = text_of(info)
    assert f"NOT comparable: {words}. Nothing is judged." in text
    assert "better" not in text.replace("Verdicts", "")


def test_other_test_images_are_noticed(tmp_path: Path) -> None:
    a, b = made(tmp_path / "a", {"bsd": LOW}), made(tmp_path / "b", {"bsd": HIGH})
    b.ledger.write_text(
        b.ledger.read_text(encoding="utf-8").replace('"test_fingerprint":"abc"', '"test_fingerprint":"other"'), encoding="utf-8"
    )
    assert compare_runs(a, b).not_comparable == ["the test images differ"]


def test_fewer_training_images_are_a_difference_of_the_studies(tmp_path: Path) -> None:
    a: dict[str, Any] = {"confirmed": {"bsd": LOW}, "provenance": {"data": {"fingerprint": "1"}}}
    b: dict[str, Any] = {"confirmed": {"bsd": HIGH}, "provenance": {"data": {"fingerprint": "2"}}, "train_images": 500}
    info = compared(tmp_path, a, b)
    assert info.not_comparable == []
    assert not info.searches_alike


def test_failed_and_single_trainings_are_said(tmp_path: Path) -> None:
    info = compared(tmp_path, {"confirmed": {"bsd": (0.8, None, None)}}, {"confirmed": {"bsd": HIGH}})
    pair = info.arms[0].confirmed["test_accuracy"]
    assert (pair.comparison.low, pair.verdict, pair.n_failed) == (None, "not distinguishable", 2)
    text = text_of(info)
    assert "2 of these trainings failed and are left out" in text
    assert "No interval: One training has no spread over seeds" in text
    info = compared(tmp_path / "again", {"confirmed": {"bsd": (None, None)}}, {"confirmed": {"bsd": HIGH}})
    assert info.arms[0].confirmed["test_accuracy"].comparison.difference is None
    text_of(info)


# --- the command


def test_two_run_folders_are_compared_and_the_same_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    a, b = made(tmp_path / "a", {"bsd": LOW}), made(tmp_path / "b", {"bsd": HIGH})
    assert main(monkeypatch, "compare", str(a.path), str(b.path)) == 0
    assert "two runs side by side" in capsys.readouterr().out
    assert main(monkeypatch, "compare", str(a.path), str(a.path)) == 2
    assert capsys.readouterr().err.startswith("error: Both are run ")
    with pytest.raises(ConfigError, match="Both are run"):
        compare_runs(a, a)


def test_a_run_without_tables_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No trial of"):
        compare_runs(made(tmp_path / "a"), make_run(tmp_path / "b"))


def test_hostile_texts_are_shown_as_they_are(tmp_path: Path) -> None:
    info = compared(tmp_path, {"question": "[red]Is it?[/red]"}, {"question": "x" * 300})
    lines = render(render_run_comparison(info))
    assert any("[red]Is it?[/red]" in line for line in lines)
    assert max(map(len, lines)) <= 80
    assert "x" * 101 not in "".join(line.strip() for line in lines)
