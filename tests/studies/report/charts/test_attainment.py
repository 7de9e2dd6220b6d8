from __future__ import annotations

import json

import plotly.graph_objects as go
import pytest

from studies.report.charts.attainment import attainment_charts
from studies.report.figures.attainment import draw_attainment
from studies.report.infos.attainment import collect_attainment
from studies.report.source import ReportSource
from tests.studies._dummies import make_spec
from tests.studies.report._sources import Confirmed, Trial, confirmed_source


def make_attained() -> ReportSource:
    trials: list[Trial] = [
        (f"{method}/{condition}", 0, 0.9, 0.2) for condition in ("none", "symmetric_40") for method in ("cross_entropy", "bsd")
    ]
    values = [(0.9, 0.2), (0.8, 0.3), (None, 0.0), (None, 0.0)]
    chosen: Confirmed = {(arm, 0): ("best_accuracy, knee, best_ece", values) for arm, *_ in trials}
    return confirmed_source(trials, chosen, make_spec(trials=1, conditions=["none", "symmetric_40"], confirm={"seeds": 4}))


def test_a_line_for_half_of_the_seeds_over_a_band() -> None:
    source = make_attained()
    (chart,) = attainment_charts(collect_attainment(source), source.styles)
    assert list(chart.variants) == ["none", "symmetric_40"]
    drawing = chart.variants["none"]
    go.Figure(drawing)
    json.dumps(drawing, allow_nan=False)
    bands, lines = drawing["data"][:2], drawing["data"][2:]
    assert [trace["fill"] for trace in bands] == ["toself", "toself"]
    assert [trace["name"] for trace in lines] == ["cross_entropy", "bsd"]
    assert (lines[0]["x"][:2], lines[0]["y"][1]) == (pytest.approx([30, 30]), pytest.approx(80))  # two of four seeds reach (0.8, 0.3)
    assert [trace["showlegend"] for trace in drawing["data"]] == [False, False, True, True]
    assert all(line["line"]["color"] == source.styles[line["name"]].colour for line in lines)


def test_the_figure_has_a_panel_a_condition() -> None:
    source = make_attained()
    figure = draw_attainment(collect_attainment(source), source.styles)
    panels = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title(loc="left") for axis in panels] == ["condition none", "condition symmetric_40"]
    assert all((len(axis.get_lines()), len(axis.patches)) == (2, 2) for axis in panels)
    figure.draw_without_rendering()
