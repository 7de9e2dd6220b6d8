from __future__ import annotations

import shlex
from typing import Any

import pytest

from studies.report.infos.front import collect_plane
from studies.report.infos.marks import Mark
from studies.report.infos.plane_view import view_of
from studies.report.source import ReportSource
from tests.studies._dummies import make_end, make_events, make_spec, make_suggest
from tests.studies.report._sources import Confirmed, Trial, confirmed_source, make_source

TRIALS: list[Trial] = [
    ("cross_entropy/none", 0, 0.9, 0.2),
    ("cross_entropy/none", 1, 0.8, 0.1),
    ("cross_entropy/none", 2, 0.75, 0.15),  # beaten by 1
    ("bsd/none", 0, 0.85, 0.05),
    ("bsd/none", 1, None, 0.0),
]


def make_plane_source() -> ReportSource:
    """Of cross_entropy's two confirmed settings the one that led by validation values is beaten on test."""
    chosen: Confirmed = {
        ("cross_entropy/none", 0): ("best_accuracy", [(0.70, 0.30), (0.72, 0.32), (0.74, 0.34)]),
        ("cross_entropy/none", 1): ("best_ece, knee", [(0.80, 0.10), (0.81, 0.11), (0.82, 0.12)]),
        ("bsd/none", 0): ("best_accuracy, knee, best_ece", [(0.84, 0.05), (None, 0.0), (0.86, 0.07)]),
    }
    return confirmed_source(TRIALS, chosen, make_spec(trials=3, confirm={"seeds": 3}))


def test_marks_are_means_of_test_values_with_intervals() -> None:
    plain, bsd = collect_plane(make_plane_source()).conditions["none"]
    assert (plain.method, bsd.method) == ("cross_entropy", "bsd")
    first = plain.marks[0]
    assert first.place == pytest.approx((0.72, 0.32))
    # Student's t with 2 degrees of freedom: 4.302653 * 0.02 / sqrt(3)
    assert first.accuracy["low"] == pytest.approx(0.72 - 0.0496828, abs=1e-6)
    assert bsd.marks[0].place == pytest.approx((0.85, 0.06))
    assert (bsd.marks[0].n_finished, bsd.marks[0].n_failed) == (2, 1)


def test_a_setting_that_is_beaten_on_test_has_left_the_front() -> None:
    plain, bsd = collect_plane(make_plane_source()).conditions["none"]
    assert [(mark.trial_id, mark.on_front) for mark in plain.marks] == [
        ("cross_entropy-none-0000", False),
        ("cross_entropy-none-0001", True),
    ]
    assert [point.trial_id for point in plain.front] == ["cross_entropy-none-0001", "cross_entropy-none-0000"]
    assert [mark.on_front for mark in bsd.marks] == [True]
    assert "Hollow" in collect_plane(make_plane_source()).caption


def test_the_front_and_what_lies_behind_it_are_all_finished_trials() -> None:
    plain, bsd = collect_plane(make_plane_source()).conditions["none"]
    assert [point.trial_id for point in plain.behind] == ["cross_entropy-none-0002"]
    assert [point.trial_id for point in bsd.front] == ["bsd-none-0000"]


def test_the_caption_states_what_everything_rests_on() -> None:
    caption = collect_plane(make_plane_source()).caption
    for text in (
        "4 finished trials",
        "100 validation images with clean labels",
        "100 test images with true labels",
        "2 to 3 fresh seeds",
        "95 % intervals (Student's t)",
        "Not shown: 1 failed trial.",
        "1 of these trainings failed",
    ):
        assert text in caption
    assert "unequal" in caption  # 3 trials against 1


def test_tables_hold_every_mark_and_front_member_with_a_command_for_a_shell() -> None:
    confirmed, searched = collect_plane(make_plane_source()).tables()
    assert (confirmed.key, searched.key) == ("front_confirmed", "front_search")
    assert [row["trial_id"] for row in confirmed.rows] == ["cross_entropy-none-0000", "cross_entropy-none-0001", "bsd-none-0000"]
    assert [row["on_front"] for row in confirmed.rows] == ["no", "yes", "yes"]
    assert confirmed.rows[0]["test_accuracy"] == pytest.approx(0.72)
    assert [row["trial_id"] for row in searched.rows] == ["cross_entropy-none-0001", "cross_entropy-none-0000", "bsd-none-0000"]
    assert shlex.split(str(searched.rows[0]["command"]))[1:] == ["-m", "studies", "retrain", "/nonexistent", "cross_entropy-none-0001"]
    assert searched.rows[0]["settings"] == "learning_rate 0.1, weight_decay 0.001"
    assert confirmed.arrow().num_rows == 3


def test_without_confirm_phase_the_search_is_shown_alone() -> None:
    info = collect_plane(make_source(make_events(*TRIALS), make_spec(trials=3)))
    assert info.missing is None
    assert info.marks == []
    assert [table.key for table in info.tables()] == ["front_search"]
    assert "Nothing is confirmed on test images" in info.caption


def test_settings_of_which_every_training_failed_have_no_mark() -> None:
    chosen = {("bsd/none", 0): ("best_accuracy, knee, best_ece", [(None, 0.0), (None, 0.0)])}
    spec = make_spec(methods=["bsd"], trials=1, confirm={"seeds": 2})
    info = collect_plane(confirmed_source([("bsd/none", 0, 0.9, 0.1)], chosen, spec))
    assert info.marks == []
    assert info.missing is None


def test_a_run_without_a_point_says_why() -> None:
    nothing = collect_plane(make_source([], make_spec()))
    assert nothing.missing == "No trial of the search has ended yet: the front appears with the first that finishes."
    assert nothing.caption == ""
    failed = collect_plane(make_source(make_events(("bsd/none", 0, None, 0.0)), make_spec()))
    assert failed.missing is not None
    assert "1 failed" in failed.missing
    assert failed.views == {}


def test_other_objectives_take_their_own_test_columns_and_titles() -> None:
    spec = make_spec(
        methods=["bsd"], objectives=["val_accuracy", "val_corrupted_ece"], evaluate={"corruptions": ["contrast"]}, confirm={"seeds": 2}
    )
    measured = {"val_corrupted_accuracy": 0.5, "val_corrupted_ece": 0.4}
    events = [make_suggest("bsd/none", 0), make_end("bsd/none", 0, 0.9, 0.1, **measured)]
    info = collect_plane(make_source(events, spec))
    accuracy, ece = info.axis_titles
    assert accuracy.startswith("accuracy on clean images, %")
    assert ece.startswith("expected calibration error on corrupted images, %")
    (method,) = info.conditions["none"]
    assert method.front[0].chosen_by == (0.9, 0.4)
    (searched,) = info.tables()
    assert searched.rows[0]["val_corrupted_ece"] == 0.4


def test_the_view_shows_what_matters_whole_and_counts_what_lies_outside() -> None:
    trials = [(0.9, 0.01)] * 8 + [(0.1, 0.8)]
    view = view_of(trials, [(0.9, 0.01), (0.5, 0.3)])
    # right end 0.3 and 6 % of 0.29, and 0.003; lower end 0.5 less 6 % of 0.4, and 0.003
    assert view.ece == pytest.approx((-0.003, 0.3 + 0.06 * 0.29 + 0.003))
    assert view.accuracy == pytest.approx((0.5 - 0.024 - 0.003, 0.9 + 0.024 + 0.003))
    assert view.n_outside == 1


def test_a_view_of_one_point_has_room_around_it() -> None:
    view = view_of([(1.0, 0.0)], [(1.0, 0.0)])
    assert view.ece == (-0.003, 0.003)
    assert view.accuracy == (0.997, 1.003)
    with pytest.raises(ValueError, match="needs a point"):
        view_of([], [])


def test_the_view_shows_whole_intervals_as_far_as_they_can_be() -> None:
    def mark(low: float | None, high: float | None) -> Mark:
        summary = {"mean": 0.5, "low": low, "high": high}
        numbers: dict[str, Any] = {
            "trial_id": "a",
            "roles": [],
            "settings": {},
            "nll": None,
            "n_finished": 2,
            "n_failed": 0,
            "on_front": True,
        }
        return Mark(accuracy=summary, ece=summary, **numbers)

    assert mark(0.4, 0.6).corners == [(0.4, 0.4), (0.6, 0.6)]
    assert mark(-0.2, 1.3).corners == [(0.0, 0.0), (1.0, 1.0)]
    assert mark(None, None).corners == []
