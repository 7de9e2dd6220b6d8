from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console

from studies.front import FrontInfo, collect_front
from studies.ledger import Event
from studies.report.scatter import MethodPoints, collect_scatter, fits, render_scatter
from studies.tables import build_tables
from tests.studies._dummies import CONSTANTS, make_choice, make_confirmation, make_events, make_spec, render
from tests.studies.report._documents import make_document

TRIALS: list[tuple[str, int, float | None, float]] = [
    ("cross_entropy/none", 0, 0.70, 0.20),
    ("cross_entropy/none", 1, None, 0.0),
    ("bsd/none", 0, 0.90, 0.10),
    ("bsd/none", 1, 0.80, 0.05),
    ("bsd/none", 2, 0.75, 0.30),  # not on the front
]


def made(events: Sequence[Event], **changes: Any) -> tuple[FrontInfo, dict[str, Any]]:
    tables = build_tables(events, CONSTANTS)
    return collect_front(tables.trials, tables.evaluations), make_document(events, make_spec(trials=3, **changes))


def confirmed_events() -> list[Event]:
    choice = make_choice({("bsd/none", 0): "best_accuracy", ("cross_entropy/none", 0): "knee"})
    failed = make_confirmation("cross_entropy/none", 0, 0, None)
    trainings = [make_confirmation("bsd/none", 0, 0, 0.88, 0.12), make_confirmation("bsd/none", 0, 1, 0.86, 0.14)]
    return [*make_events(*TRIALS), choice, *failed, *(event for training in trainings for event in training)]


def test_front_points_and_means_of_confirmed_settings_are_drawn() -> None:
    ((condition, members),) = collect_scatter(*made(confirmed_events(), confirm={"seeds": 2})).items()
    assert condition == "none"
    by_method = {points.method: points for points in members}
    assert by_method["cross_entropy"] == MethodPoints("cross_entropy", [(0.70, 0.20)], [])
    assert by_method["bsd"].searched == [(0.90, 0.10), (0.80, 0.05)]
    assert by_method["bsd"].confirmed == [pytest.approx((0.87, 0.13))]


def test_a_picture_has_a_shape_for_each_point_at_its_place() -> None:
    picture = render_scatter(*made(confirmed_events(), confirm={"seeds": 2}))
    assert picture is not None
    lines = render(picture, width=100)
    plot = [line for line in lines if "│" in line or "┤" in line]
    places = {shape: [(row, line.index(shape)) for row, line in enumerate(plot) if shape in line] for shape in "○□●■"}
    assert {shape: len(found) for shape, found in places.items()} == {"○": 2, "□": 1, "●": 1, "■": 0}
    (better, worse), (plain,), (confirmed,) = sorted(places["○"], key=lambda place: -place[1]), places["□"], places["●"]
    assert plain[1] < worse[1] < confirmed[1] < better[1]  # accuracy grows to the right
    assert plain[0] < confirmed[0] <= better[0] < worse[0]  # ECE grows upwards
    assert [line.split() for line in lines if line.strip().startswith("○● ")] == [["○●", "bsd", "□", "cross_entropy"]]
    assert any(line.startswith("condition none: accuracy % to the right, expected calibration error % upwards") for line in lines)
    assert "filled: confirmed" in " ".join(" ".join(lines).split())


def test_nothing_is_drawn_of_fewer_than_two_points() -> None:
    assert render_scatter(*made(make_events(TRIALS[0]))) is None
    assert render_scatter(*made(make_events(*((arm, n, None, 0.0) for arm, n, _, _ in TRIALS)))) is None


@pytest.mark.parametrize("ece", [0.2, 0.3])
def test_points_of_equal_values_can_be_drawn(ece: float) -> None:
    picture = render_scatter(*made(make_events(TRIALS[0], ("bsd/none", 0, 0.7, ece))))
    assert picture is not None
    assert any("○" in line for line in render(picture, width=100))


def test_without_a_confirm_phase_nothing_is_said_of_it() -> None:
    picture = render_scatter(*made(make_events(*TRIALS)))
    assert picture is not None
    text = " ".join(render(picture, width=100))
    assert "●" not in text
    assert "filled" not in text


def test_more_methods_than_shapes_get_letters() -> None:
    arms = [f"method{place:02d}/none" for place in range(10)]
    tables = build_tables(make_events(*((arm, 0, 0.5 + place / 50, 0.1 + place / 50) for place, arm in enumerate(arms))), CONSTANTS)
    picture = render_scatter(collect_front(tables.trials, tables.evaluations), {"confirmed": []})
    assert picture is not None
    lines = render(picture, width=100)
    assert "▷ method07 a method08 b method09" in " ".join(" ".join(lines).split())
    assert sum(line.count(" a ") for line in lines if "│" in line or "┤" in line) == 1


@pytest.mark.parametrize(
    ("terminal", "width", "encoding", "expected"),
    [(True, 100, "utf-8", True), (True, 99, "utf-8", False), (False, 200, "utf-8", False), (True, 200, "ascii", False)],
)
def test_a_picture_needs_a_wide_terminal(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, width: int, encoding: str, expected: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    assert fits(Console(file=file, width=width, force_terminal=terminal)) is expected
    monkeypatch.setenv("TERM", "dumb")
    assert not fits(Console(file=file, width=width, force_terminal=terminal))


def test_colours_are_left_out_where_nobody_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = render_scatter(*made(make_events(*TRIALS)))
    assert picture is not None
    shown = {}
    for no_color in ("", "1"):
        monkeypatch.setenv("NO_COLOR", no_color)
        console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system="truecolor")
        console.print(picture)
        shown[no_color] = str(console.file.getvalue())  # type: ignore[attr-defined]
    assert "\x1b[38;2;" in shown[""]
    assert "\x1b[38;2;" not in shown["1"]
