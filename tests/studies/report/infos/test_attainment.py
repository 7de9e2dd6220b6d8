from __future__ import annotations

import pytest

from studies.report.infos.attainment import band, collect_attainment, staircase
from studies.report.infos.plane_view import View
from tests.studies._dummies import make_events, make_spec
from tests.studies.report._sources import Trial, confirmed_source, make_source

TRIALS: list[Trial] = [("bsd/none", 0, 0.9, 0.2), ("bsd/none", 1, 0.8, 0.1)]
SPEC = make_spec(methods=["bsd"], trials=2, confirm={"seeds": 2})
VIEW = View((0.0, 1.0), (0.2, 1.0), 0)


def test_half_of_two_seeds_is_what_one_of_them_reaches() -> None:
    chosen = {
        ("bsd/none", 0): ("best_accuracy", [(0.9, 0.2), (0.8, 0.3)]),
        ("bsd/none", 1): ("best_ece, knee", [(0.7, 0.1), (0.6, 0.1)]),
    }
    info = collect_attainment(confirmed_source(TRIALS, chosen, SPEC))
    (surfaces,) = info.conditions["none"]
    assert surfaces.corners[50] == [(0.9, 0.2), (0.7, 0.1)]  # the first seed is better everywhere
    assert surfaces.corners[75] == [(0.8, 0.3), (0.6, 0.1)]  # both
    # areas from accuracy 0, ECE 1: 0.9 * 0.8 + 0.7 * 0.1 = 0.79 and 0.8 * 0.7 + 0.6 * 0.2 = 0.68
    assert surfaces.hypervolume["mean"] == pytest.approx((0.79 + 0.68) / 2)
    volumes, corners = info.tables()
    assert volumes.rows[0]["hypervolume"] == pytest.approx(0.735)
    assert (volumes.rows[0]["n_settings"], volumes.rows[0]["n_seeds"]) == (2, 2)
    assert [row["share"] for row in corners.rows] == [0.25, 0.25, 0.5, 0.5, 0.75, 0.75]
    assert corners.rows[-1]["test_accuracy"] == pytest.approx(0.6)
    assert "neither is better everywhere" in info.caption
    assert "2 fresh seeds, 100 test images" in info.caption


def test_a_staircase_rises_at_each_corner_and_goes_on_to_the_right() -> None:
    x, y = staircase([(0.9, 0.3), (0.5, 0.1)], VIEW)
    assert list(zip(x, y, strict=True)) == [(0.1, 0.2), (0.1, 0.5), (0.3, 0.5), (0.3, 0.9), (1.0, 0.9)]


def test_a_staircase_without_corners_is_the_end_of_the_axes() -> None:
    assert staircase([], VIEW) == ([1.0], [0.2])


def area(x: list[float], y: list[float]) -> float:
    """Of a polygon, by the shoelace formula."""
    return abs(sum(x[i - 1] * y[i] - x[i] * y[i - 1] for i in range(len(x)))) / 2


def test_a_band_covers_what_lies_between_two_surfaces() -> None:
    few, many = [(0.9, 0.3)], [(0.5, 0.4)]
    # under `few` (1 - 0.3) * (0.9 - 0.2) = 0.49, under `many` (1 - 0.4) * (0.5 - 0.2) = 0.18
    assert area(*band(many, few, VIEW)) == pytest.approx(0.49 - 0.18)
    assert area(*band([], few, VIEW)) == pytest.approx(0.49)  # too few seeds reach anything: all of it
    assert area(*band(few, few, VIEW)) == pytest.approx(0)


def test_a_failed_seed_counts_and_reaches_nothing() -> None:
    chosen = {("bsd/none", 0): ("best_accuracy, knee, best_ece", [(0.9, 0.2), (None, 0.0)])}
    info = collect_attainment(confirmed_source([("bsd/none", 0, 0.9, 0.2)], chosen, SPEC))
    (surfaces,) = info.conditions["none"]
    assert surfaces.corners[50] == [(0.9, 0.2)]
    assert surfaces.corners[75] == []
    assert surfaces.hypervolume["mean"] == pytest.approx(0.9 * 0.8 / 2)


def test_what_is_not_there_is_explained() -> None:
    asked = collect_attainment(make_source(make_events(*TRIALS), SPEC))
    assert asked.missing == "Attainment surfaces need trainings with fresh seeds on test images; none has ended yet."
    assert asked.caption == ""
    unasked = collect_attainment(make_source([], make_spec()))
    assert unasked.missing is not None
    assert "`confirm: none`" in unasked.missing
    chosen = {("bsd/none", 0): ("best_accuracy, knee, best_ece", [(None, 0.0), (None, 0.0)])}
    failed = collect_attainment(confirmed_source([("bsd/none", 0, 0.9, 0.2)], chosen, SPEC))
    assert failed.missing is not None
    assert "nothing is reached" in failed.missing
