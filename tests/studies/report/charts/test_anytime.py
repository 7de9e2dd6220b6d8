from __future__ import annotations

import json

import plotly.graph_objects as go
import pytest

from studies.report.charts.anytime import anytime_charts
from studies.report.figures.anytime import draw_anytime
from studies.report.infos.anytime import collect_anytime
from studies.report.source import ReportSource
from tests.studies._dummies import make_spec
from tests.studies.report._sources import make_source
from tests.studies.report.infos.test_anytime import make_twin_events


def make_searched() -> ReportSource:
    return make_source(make_twin_events(), make_spec(methods=["cross_entropy"], trials=3, baseline="random"))


def test_hypervolume_is_drawn_against_trials_and_against_seconds() -> None:
    source = make_searched()
    trials, seconds = anytime_charts(collect_anytime(source), source.styles)
    for chart in (trials, seconds):
        go.Figure(chart.variants["none"])
        json.dumps(chart.variants["none"], allow_nan=False)
    search, twin = trials.variants["none"]["data"]
    assert (search["x"], search["y"]) == ([1, 2, 3], pytest.approx([0.25, 0.25, 0.48]))
    assert seconds.variants["none"]["data"][0]["x"] == pytest.approx([1.5, 3.0, 4.5])
    assert (search["line"]["dash"], twin["line"]["dash"]) == ("solid", "dot")
    assert search["line"]["color"] == twin["line"]["color"]
    assert twin["name"] == "cross_entropy at random"


def test_the_figure_has_both_axes_for_each_condition() -> None:
    source = make_searched()
    figure = draw_anytime(collect_anytime(source), source.styles)
    left, right = figure.axes
    assert (left.get_xlabel(), right.get_xlabel()) == ("trials that ended", "training of the arm, s")
    assert [line.get_linestyle() for line in left.get_lines()] == ["-", ":"]
    assert list(right.get_lines()[0].get_xdata()) == pytest.approx([1.5, 3.0, 4.5])
    figure.draw_without_rendering()
