"""Reliability diagrams on the page, a panel a method."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

from studies.report.charts.base import Trace, error_bars
from studies.report.charts.panels import panel_axes, panel_layout
from studies.report.infos.reliability import Diagram, ReliabilityInfo
from studies.report.palette import Style
from studies.report.section import Chart, Styles
from studies.statistics.reliability import N_BINS, Bin

_GREY = "#888888"


def reliability_charts(info: ReliabilityInfo, styles: Styles) -> list[Chart]:
    """One chart, by condition: accuracy against confidence, before and after temperature scaling, over bars of the images' share."""
    alt = (
        "Reliability diagrams, a panel a method: accuracy against mean confidence in 15 bins with intervals, before and after temperature "
        "scaling; the diagonal is perfect calibration."
    )
    return [Chart("reliability", alt, {condition: _drawing(members, styles) for condition, members in info.conditions.items()})]


def _drawing(diagrams: Sequence[Diagram], styles: Styles) -> dict[str, Any]:
    data: list[Trace] = []
    first = {"before": True, "after": True}
    for index, diagram in enumerate(diagrams):
        axes, style = panel_axes(index), styles[diagram.method]
        data.append(_shares(diagram, style, index == 0) | axes)
        for name, bins in (("before", diagram.before), ("after", diagram.after)):
            if bins is not None:
                data.append(_points(name, diagram, bins, style, first[name]) | axes)
                first[name] = False
    diagonals = [
        {
            "type": "line",
            "xref": panel_axes(index)["xaxis"],
            "yref": panel_axes(index)["yaxis"],
            "x0": 0,
            "y0": 0,
            "x1": 100,
            "y1": 100,
            "line": {"color": _GREY, "width": 1, "dash": "dot"},
        }
        for index in range(len(diagrams))
    ]
    whole = {"range": [-3, 103], "dtick": 25, "zeroline": False}
    layout = panel_layout(
        [diagram.method for diagram in diagrams],
        columns=2 if len(diagrams) <= 4 else 3,
        height=240,
        x="confidence, %",
        y="accuracy, %",
        xaxis=whole,
        yaxis=whole,
        shapes=diagonals,
        bargap=0,
    )
    return {"data": data, "layout": layout}


def _shares(diagram: Diagram, style: Style, legend: bool) -> Trace:
    return {
        "type": "bar",
        "name": "share of images",
        "legendgroup": "share",
        "showlegend": legend,
        "x": [round(100 * (entry.number + 0.5) / N_BINS, 2) for entry in diagram.before],
        "y": [round(100 * entry.share, 2) for entry in diagram.before],
        "width": 100 / N_BINS,
        "marker": {"color": style.faint(0.25), "line": {"width": 0}},
        "hovertemplate": "%{y:.1f} % of the images<extra></extra>",
    }


def _points(name: str, diagram: Diagram, bins: Sequence[Bin], style: Style, legend: bool) -> Trace:
    values, lows, highs = (
        [None if value is None else round(100 * value, 2) for value in column]
        for column in ([b.accuracy for b in bins], [b.low for b in bins], [b.high for b in bins])
    )
    before = name == "before"
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": f"{name} temperature scaling",
        "legendgroup": name,
        "showlegend": legend,
        "x": [round(100 * entry.confidence, 2) for entry in bins],
        "y": values,
        "error_y": error_bars(values, lows, highs),
        "line": {"color": style.colour, "dash": "solid" if before else "dash", "width": 1.4},
        "marker": {
            "color": style.colour,
            "symbol": style.marker if before else f"{style.marker}-open",
            "size": [round(5 + 9 * math.sqrt(entry.share), 1) for entry in bins],
        },
        "hovertext": [_hover(name, diagram.method, entry) for entry in bins],
        "hoverinfo": "text",
    }


def _hover(name: str, method: str, entry: Bin) -> str:
    interval = "" if entry.low is None or entry.high is None else f" [{100 * entry.low:.1f}, {100 * entry.high:.1f}]"
    return (
        f"{html.escape(method)}, {name} temperature scaling<br>confidence {100 * entry.confidence:.1f} %<br>"
        f"accuracy {100 * entry.accuracy:.1f} %{interval}<br>{100 * entry.share:.1f} % of the images"
    )
