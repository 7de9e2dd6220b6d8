from __future__ import annotations

import plotly.graph_objects as go
import pytest

from studies.report.charts.panels import panel_axes, panel_layout


def test_panels_lie_row_by_row_inside_the_chart_without_touching() -> None:
    layout = panel_layout(["a", "b", "c"], columns=2, height=200, x="x", y="y")
    go.Figure(layout=layout)
    upper, right, lower = layout["xaxis"], layout["xaxis2"], layout["xaxis3"]
    assert upper["domain"][1] < right["domain"][0]
    assert right["domain"][1] == pytest.approx(1)
    assert lower["domain"] == upper["domain"]
    assert layout["yaxis"]["domain"][1] == 1
    assert layout["yaxis3"]["domain"][0] == pytest.approx(0)
    assert layout["yaxis3"]["domain"][1] < layout["yaxis"]["domain"][0]


def test_titles_stand_at_the_outer_axes_only() -> None:
    layout = panel_layout(["a", "b", "c"], columns=2, height=200, x="x", y="y")
    assert ["title" in layout[axis] for axis in ("xaxis", "xaxis2", "xaxis3")] == [False, True, True]
    assert ["title" in layout[axis] for axis in ("yaxis", "yaxis2", "yaxis3")] == [True, False, True]


def test_names_are_shown_as_they_are() -> None:
    [title] = panel_layout(["<b>x</b>"], columns=2, height=200, x="x", y="y")["annotations"]
    assert title["text"] == "&lt;b&gt;x&lt;/b&gt;"


def test_the_first_panel_has_axes_without_a_number() -> None:
    assert panel_axes(0) == {"xaxis": "x", "yaxis": "y"}
    assert panel_axes(2) == {"xaxis": "x3", "yaxis": "y3"}
