"""Trials along the axes of their settings."""

from __future__ import annotations

import plotly.graph_objects as go
import pytest

from studies.report.charts.parallel import parallel_charts
from studies.report.figures.parallel import draw_parallel
from studies.report.infos import parallel as module
from studies.report.infos.parallel import Axis, Line, MethodLines, ParallelInfo, collect_parallel
from studies.report.palette import styles
from studies.report.source import ReportSource
from tests.studies._dummies import make_end, make_events, make_spec, make_suggest
from tests.studies.report._sources import make_source

ARM = "cross_entropy/none"


def searched_source(*trials: tuple[float, float, float, float]) -> ReportSource:
    """Trials of cross-entropy: learning rate, weight decay, accuracy, ECE."""
    events = []
    for number, (rate, decay, accuracy, ece) in enumerate(trials):
        events.append(make_suggest(ARM, number, params={"learning_rate": rate, "weight_decay": decay}))
        events.append(make_end(ARM, number, accuracy, ece))
    return make_source(events, make_spec(trials=len(trials)))


def test_places_by_hand() -> None:
    # Searched are 0.01 to 0.5 and 1e-5 to 5e-3, both logarithmically; a trial lies outside.
    source = searched_source((0.01, 1e-5, 0.8, 0.2), (0.1, 5e-3, 0.9, 0.1), (1.0, 1e-4, 0.85, 0.15))
    (method,) = collect_parallel(source).methods
    assert [axis.name for axis in method.axes] == ["learning_rate", "weight_decay", "val_accuracy", "val_ece"]
    rate, decay, accuracy, ece = method.axes
    assert (rate.log, decay.log, accuracy.log) == (True, True, False)
    assert rate.marks == ((0.0, "0.01"), (1.0, "1"))
    assert decay.marks == ((0.0, "1e-05"), (1.0, "0.005"))
    assert accuracy.marks == ((0.0, "80.0"), (1.0, "90.0"))
    assert ece.marks == ((0.0, "20.0"), (1.0, "10.0"))  # less is better, and better is up
    places = [line.places for line in method.lines]
    assert [place[0] for place in places] == pytest.approx([0, 0.5, 1])
    assert [place[2] for place in places] == pytest.approx([0, 1, 0.5])
    assert [place[3] for place in places] == pytest.approx([0, 1, 0.5])
    assert [line.on_front for line in method.lines] == [False, True, False]


def test_the_table_has_every_setting_of_every_method() -> None:
    source = make_source(
        [*make_events((ARM, 0, 0.7, 0.1)), *make_events(("bsd/none", 0, 0.8, 0.05), params={"learning_rate": 0.1, "prior_strength": 3.0})],
        make_spec(trials=1),
    )
    (table,) = collect_parallel(source).tables()
    assert {"param_prior_strength", "param_learning_rate", "param_weight_decay"} <= {column.name for column in table.columns}
    by_method = {row["method"]: row for row in table.rows}
    assert by_method["bsd"]["param_prior_strength"] == 3
    assert by_method["cross_entropy"].get("param_prior_strength") is None
    assert by_method["bsd"]["on_front"] == "yes"
    assert table.csv().count("\n") == 3


def test_choices_have_a_mark_each() -> None:
    class Choices:
        choices = ("near", "far")

    axis, places, texts = module._setting_axis("where", Choices(), ["far", "near", None, "elsewhere"])
    assert axis.marks == ((0.0, "near"), (0.5, "far"), (1.0, "elsewhere"))
    assert places == [0.5, 0.0, None, 1.0]
    assert texts[2] == "none"


def test_one_trial_stands_in_the_middle_of_its_objectives() -> None:
    (method,) = collect_parallel(searched_source((0.1, 1e-4, 0.8, 0.2))).methods
    assert method.lines[0].places[2:] == (0.5, 0.5)
    assert method.axes[2].marks == ((0.5, "80.0"),)


def test_lines_end_in_gaps_and_the_front_lies_on_top() -> None:
    source = searched_source((0.01, 1e-5, 0.8, 0.2), (0.1, 5e-3, 0.9, 0.1), (0.2, 1e-4, 0.85, 0.15))
    (chart,) = parallel_charts(collect_parallel(source), source.styles)
    others, front = chart.variants["none"]["data"]
    assert (others["name"], front["name"]) == ("other trials", "front")
    assert chart.variants["none"]["layout"]["legend"]["title"]["text"] == "cross_entropy "
    assert others["x"] == [0, 1, 2, 3, None, 0, 1, 2, 3, None]
    assert front["y"][2:] == [1.0, 1.0, None]
    assert others["hovertext"][2] == "cross_entropy-none-0000<br>accuracy, %: 80.0 %"
    assert front["line"]["color"] == source.styles["cross_entropy"].colour
    assert {trace["type"] for trace in (others, front)} == {"scatter"}
    go.Figure(chart.variants["none"])
    ticks = chart.variants["none"]["layout"]["xaxis"]["ticktext"]
    assert ticks == ["learning rate<br>(log)", "weight decay<br>(log)", "accuracy, %", "ECE, %"]


def hostile_info(name: str, n_methods: int = 1) -> ParallelInfo:
    axes = [Axis(name, name, ((0.0, name), (1.0, "b"))), Axis("val_accuracy", "accuracy, %", ((0.5, "50.0"),))]
    line = Line(name, name, True, (0.0, None), (name, "50 %"), {name: name}, (0.5, 0.1))
    return ParallelInfo([MethodLines(f"{name}{index}", axes, [line]) for index in range(n_methods)], ("val_accuracy", "val_ece"), "clean")


def test_names_are_text() -> None:
    name = "<b>$_</b>"
    info, looks = hostile_info(name), styles([f"{name}0"])
    (chart,) = parallel_charts(info, looks)
    assert "<b>" not in str(chart.variants[name])
    figure = draw_parallel(info, looks)
    figure.draw_without_rendering()
    assert figure.axes[0].get_title(loc="left") == f"{name}0"


def test_more_methods_than_have_charts_are_in_the_table() -> None:
    info = hostile_info("m", 9)
    assert len(parallel_charts(info, styles(method.method for method in info.methods))) == 8
    assert len(info.tables()[0].rows) == 9
    assert "The first 8 methods of 9 are drawn" in info.caption


def test_failed_and_empty_searches_are_missing() -> None:
    failed = make_source(make_events((ARM, 0, None, 0.1)), make_spec(trials=1))
    empty = make_source([], make_spec())
    assert collect_parallel(failed).missing == collect_parallel(empty).missing == "No trial of the search has finished yet."


def test_five_hundred_trials_stay_small() -> None:
    trials = [(0.01 + 0.0005 * n, 1e-5 * (n + 1), 0.5 + 0.0005 * n, 0.3 - 0.0003 * n) for n in range(500)]
    source = searched_source(*trials)
    (chart,) = parallel_charts(collect_parallel(source), source.styles)
    assert len(str(chart.variants)) < 300_000
