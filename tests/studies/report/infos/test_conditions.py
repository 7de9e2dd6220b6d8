from __future__ import annotations

import pytest

from studies.report.infos.conditions import ConditionsInfo, collect_conditions
from tests.studies._dummies import make_choice, make_confirmation, make_events, make_spec
from tests.studies.report._measured import measured_source, searched_source
from tests.studies.report._sources import make_source


def compared(values: dict[str, list[float | None]], *, extra: bool = False) -> ConditionsInfo:
    """Methods with these test accuracies by seed; with an extra trial of the first one budgets are unequal."""
    spec = make_spec(methods=list(values), trials=1, confirm={"seeds": 3})
    trials = [(f"{method}/none", 0, 0.75, 0.1) for method in values]
    events = make_events(*trials, *([(f"{next(iter(values))}/none", 1, 0.5, 0.2)] if extra else []))
    events.append(make_choice({(f"{method}/none", 0): "best_accuracy, knee, best_ece" for method in values}))
    for method, accuracies in values.items():
        for replicate, accuracy in enumerate(accuracies):
            events += make_confirmation(f"{method}/none", 0, replicate, accuracy)
    return collect_conditions(make_source(events, spec))


VALUES: dict[str, list[float | None]] = {
    "cross_entropy": [0.700, 0.710, 0.720],
    "bsd": [0.800, 0.810, 0.825],
    "cs_kd": [0.700, 0.715, 0.720],
}


def shown(info: ConditionsInfo, title: str) -> list[str]:
    [table] = info.tables()
    [column] = [column for column in table.shown if column.title == title]
    return [table.text(row, column) for row in table.rows]


def test_each_metric_has_its_interval_over_seeds() -> None:
    info = collect_conditions(measured_source(conditions=["symmetric_40"]))
    accuracy = info.entries[1].metrics["accuracy"]
    half = 12.7062 * (0.1 / 2**0.5) / 2**0.5  # t of one degree of freedom, times spread / sqrt(n)
    assert (accuracy.mean, accuracy.low, accuracy.high) == pytest.approx((0.85, 0.85 - half, 0.85 + half), abs=1e-5)
    recovery = info.entries[1].metrics["label_recovery"]
    assert recovery.mean == pytest.approx((0.6 + 0.7) / 2)  # of the last epoch, not of the first
    assert "95 % interval (Student's t) of the mean over fresh seeds" in info.caption


def test_marks_are_the_verdicts_against_plain_training() -> None:
    info = compared(VALUES)
    assert info.base == "cross_entropy"
    assert [entry.marks.get("accuracy") for entry in info.entries] == [None, "better*", "="]
    assert shown(info, "accuracy, %")[1:] == ["81.2 [78.0, 84.3] better*", "71.2 [68.6, 73.8] ="]
    assert "better, worse: than cross_entropy" in info.caption
    assert "=: not distinguishable, which is no proof of being equal" in info.caption
    assert "*: the verdict is over seeds alone" in info.caption


def test_without_plain_training_the_first_method_is_what_others_are_judged_against() -> None:
    info = compared({"cs_kd": VALUES["cs_kd"], "bsd": VALUES["bsd"]})
    assert info.base == "cs_kd"
    assert [entry.marks.get("accuracy") for entry in info.entries] == [None, "better*"]


def test_unequal_budgets_give_no_marks_and_say_so() -> None:
    info = compared(VALUES, extra=True)
    assert info.base is None
    assert not any(entry.marks for entry in info.entries)
    assert "No marks: budgets are NOT equal" in info.caption
    assert "better, worse" not in info.caption


def test_failures_are_shown_beside_the_number_of_seeds() -> None:
    info = compared({"cross_entropy": [0.7, 0.7, 0.7], "bsd": [0.8, None, 0.9]})
    [table] = info.tables()
    assert [(row["n"], row["n_failed"]) for row in table.rows] == [(3, 0), (2, 1)]


def test_metrics_that_nothing_measured_have_no_column() -> None:
    [table] = compared(VALUES).tables()
    assert [column.title for column in table.shown] == [
        "condition",
        "method",
        "n",
        "failed",
        "accuracy, %",
        "ECE, %",
        "NLL, nats",
        "ECE after scaling, %",
    ]
    assert "Flip probability" not in compared(VALUES).caption


def test_without_a_confirm_phase_validation_values_stand_without_intervals() -> None:
    info = collect_conditions(searched_source(("bsd/none", 0, 0.8, 0.2), ("cross_entropy/none", 0, 0.9, 0.1)))
    [table] = info.tables()
    assert [row["val_accuracy"] for row in table.rows] == [0.9, 0.8]
    assert {row["val_accuracy_low"] for row in table.rows} == {None}
    assert info.base is None
    assert info.caption.startswith("Nothing is confirmed")
    assert "validation images" in table.caption


def test_nothing_finished_is_said() -> None:
    info = collect_conditions(searched_source(("bsd/none", 0, None, 0.1)))
    assert info.missing is not None
    assert "No training has come to its end" in info.missing


def test_columns_of_the_files_are_those_of_the_tables() -> None:
    names = collect_conditions(measured_source()).tables()[0].arrow().column_names
    assert {"test_accuracy", "test_accuracy_low", "test_accuracy_high", "test_accuracy_mark", "label_recovery"} <= set(names)
    assert len(set(names)) == len(names)
