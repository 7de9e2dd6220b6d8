from __future__ import annotations

import pytest

from studies.report.infos.operating_points import collect_operating_points
from tests.studies._dummies import make_events, make_spec
from tests.studies.report._sources import Trial, confirmed_source, make_source

TRIALS: list[Trial] = [("cross_entropy/none", 0, 0.8, 0.2), ("bsd/none", 0, 0.9, 0.04)]


def test_a_recommendation_has_validation_and_test_values_and_a_command() -> None:
    roles = "best_accuracy, knee, best_ece"
    chosen = {
        ("cross_entropy/none", 0): (roles, [(0.7, 0.3), (0.7, 0.3)]),
        ("bsd/none", 0): (f"{roles}, condition_knee", [(0.84, 0.05), (0.86, 0.07)]),
    }
    info = collect_operating_points(confirmed_source(TRIALS, chosen, make_spec(trials=1, confirm={"seeds": 2})))
    assert info.missing is None
    (table,) = info.tables()
    knee = table.rows[0]
    assert (knee["condition"], knee["name"], knee["method"], knee["trial_id"]) == ("none", "knee", "bsd", "bsd-none-0000")
    assert (knee["val_accuracy"], knee["val_ece"]) == (0.9, 0.04)
    assert knee["test_accuracy"] == pytest.approx(0.85)
    # 12.7062 (t, 1 degree of freedom) * 0.0141421 / sqrt(2) = 0.127062
    assert knee["test_accuracy_low"] == pytest.approx(0.85 - 0.127062, abs=1e-5)
    assert knee["settings"] == "learning_rate 0.1, weight_decay 0.0005"
    assert str(knee["command"]).endswith("-m studies retrain /nonexistent bsd-none-0000")
    shown = {column.name: table.text(knee, column) for column in table.shown}
    assert shown["test_accuracy"] == "85.0 [72.3, 97.7]"
    assert shown["n_seeds"] == "2"
    assert [row["name"] for row in table.rows] == ["knee", "accurate_and_calibrated", "no_worse_than_cross_entropy"]
    assert "2 fresh seeds by 100 images with true labels" in info.caption


def test_without_confirm_phase_only_validation_values_stand() -> None:
    info = collect_operating_points(make_source(make_events(*TRIALS), make_spec(trials=1)))
    (table,) = info.tables()
    assert table.text(table.rows[0], next(column for column in table.columns if column.name == "test_ece")) == "–"
    assert "None of them has a finished training on test images" in info.caption
    assert "unequal" not in info.caption


def test_a_point_that_no_trial_fits_stays_with_its_reason() -> None:
    trials: list[Trial] = [("cross_entropy/none", 0, 0.8, 0.2), ("bsd/none", 0, 0.9, 0.3)]
    (table,) = collect_operating_points(make_source(make_events(*trials), make_spec(trials=1))).tables()
    row = next(row for row in table.rows if row["name"] == "accurate_and_calibrated")
    assert row["trial_id"] is None
    assert "no trial has an ECE of at most 5 %" in str(row["reason"])
    assert table.text(row, next(column for column in table.columns if column.name == "command")) == "–"


def test_nothing_finished_is_said() -> None:
    for events in ([], make_events(("bsd/none", 0, None, 0.0))):
        missing = collect_operating_points(make_source(events, make_spec())).missing
        assert missing is not None
        assert "no finished trial" in missing
