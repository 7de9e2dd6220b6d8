"""Attainment surfaces for the page."""

from __future__ import annotations

import html
from typing import Any

from studies.report.charts.base import Trace, drawing
from studies.report.infos.attainment import AttainmentInfo, Surfaces, band, staircase
from studies.report.infos.plane_view import View
from studies.report.palette import Style
from studies.report.section import Chart, Styles


def attainment_charts(info: AttainmentInfo, styles: Styles) -> list[Chart]:
    """One chart with a variant a condition: the median surface as a line, that of 25 to 75 % of the seeds as a band.

    Args:
        info: with a surface.
        styles: by method.
    """
    variants = {condition: _variant(info, condition, styles) for condition in info.conditions}
    alt = "Which accuracy and calibration error half of the seeds of each method reach together; the table below holds the corners."
    return [Chart("attainment", alt, variants)]


def _variant(info: AttainmentInfo, condition: str, styles: Styles) -> dict[str, Any]:
    view = info.views[condition]
    members = [(surfaces, styles[surfaces.method]) for surfaces in info.conditions[condition]]
    traces = [_band(surfaces, style, view) for surfaces, style in members] + [_line(surfaces, style, view) for surfaces, style in members]
    accuracy, ece = info.axis_titles
    return drawing(
        traces,
        x=ece,
        y=accuracy,
        height=480,
        xaxis={"range": [100 * end for end in view.ece]},
        yaxis={"range": [100 * end for end in view.accuracy]},
    )


def _band(surfaces: Surfaces, style: Style, view: View) -> Trace:
    x, y = band(surfaces.corners[75], surfaces.corners[25], view)
    return _trace(surfaces, x, y) | {
        "mode": "none",
        "fill": "toself",
        "fillcolor": style.faint(0.18),
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _line(surfaces: Surfaces, style: Style, view: View) -> Trace:
    x, y = staircase(surfaces.corners[50], view)
    text = [
        f"{_name(surfaces)}: half of the seeds reach accuracy {100 * b:.1f} % with ECE {100 * a:.1f} %" for a, b in zip(x, y, strict=True)
    ]
    return _trace(surfaces, x, y) | {
        "mode": "lines",
        "line": {"color": style.colour, "dash": style.line, "width": 2},
        "hoverinfo": "text",
        "hovertext": text,
        "showlegend": True,
    }


def _trace(surfaces: Surfaces, x: list[float], y: list[float]) -> Trace:
    return {
        "type": "scatter",
        "name": _name(surfaces),
        "legendgroup": surfaces.method,
        "x": [100 * value for value in x],
        "y": [100 * value for value in y],
    }


def _name(surfaces: Surfaces) -> str:
    return html.escape(surfaces.method, quote=False)
