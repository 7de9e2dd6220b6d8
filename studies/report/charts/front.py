"""Accuracy against ECE for the page."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence
from typing import Any

from studies.front import Point, format_settings
from studies.objectives import short_titles
from studies.report.charts.base import Trace, drawing, error_bars
from studies.report.infos.front import PlaneInfo
from studies.report.infos.marks import Mark, MethodPlane
from studies.report.palette import Style
from studies.report.section import Chart, Styles


def front_charts(info: PlaneInfo, styles: Styles) -> list[Chart]:
    """One chart with a variant a condition; a click on a point copies the command that retrains it.

    Args:
        info: with a finished trial.
        styles: by method.
    """
    variants = {condition: _variant(info, condition, styles) for condition in info.views}
    alt = "Accuracy against calibration error of the search's trials and of confirmed settings, by method; the tables below hold both."
    return [Chart("front", alt, variants)]


def _variant(info: PlaneInfo, condition: str, styles: Styles) -> dict[str, Any]:
    traces = [trace for member in info.conditions[condition] for trace in _traces(info, member, styles[member.method])]
    accuracy, ece = short_titles(info.objectives)
    view = info.views[condition]
    return drawing(
        traces,
        x=f"{ece}, % (lower is better)",
        y=f"{accuracy}, % (higher is better)",
        height=520,
        xaxis={"range": [100 * end for end in view.ece]},
        yaxis={"range": [100 * end for end in view.accuracy]},
    )


def _traces(info: PlaneInfo, member: MethodPlane, style: Style) -> list[Trace]:
    """Trials behind the front, the front, confirmed settings: each on top of those before it."""
    name = html.escape(member.method, quote=False)
    common = {"type": "scatter", "legendgroup": member.method, "name": name, "hoverinfo": "text"}
    traces: list[Trace] = []
    if member.behind:
        marker = {"color": style.colour, "symbol": style.marker, "size": 6}
        traces.append(common | _searched(info, member.behind) | {"mode": "markers", "showlegend": False, "opacity": 0.3, "marker": marker})
    if member.front:
        marker = {"color": style.colour, "symbol": style.marker, "size": 8}
        line = {"color": style.colour, "dash": style.line, "width": 1.5, "shape": "hv"}
        faint = 0.5 if member.marks else 0.9
        look = {"mode": "lines+markers", "opacity": faint, "marker": marker, "line": line, "showlegend": not member.marks}
        traces.append(common | _searched(info, member.front) | look)
    if member.marks:
        traces.append(common | _confirmed(info, member, style))
    return traces


def _searched(info: PlaneInfo, points: Sequence[Point]) -> Trace:
    return {
        "x": [100 * point.chosen_by[1] for point in points],
        "y": [100 * point.chosen_by[0] for point in points],
        "hovertext": [_hover(point.trial_id, point.settings, _values_of(info, point)) for point in points],
        "customdata": [info.command(point.trial_id) for point in points],
    }


def _confirmed(info: PlaneInfo, member: MethodPlane, style: Style) -> Trace:
    x, y = ([100 * mark.place[index] for mark in member.marks] for index in (1, 0))

    def bars(summaries: list[Any], values: list[float]) -> Any:
        ends = [[None if summary[end] is None else 100 * summary[end] for summary in summaries] for end in ("low", "high")]
        return dict(error_bars(values, *ends)) | {"color": style.colour}

    symbols = [style.marker if mark.on_front else f"{style.marker}-open" for mark in member.marks]
    return {
        "mode": "markers",
        "x": x,
        "y": y,
        "error_x": bars([mark.ece for mark in member.marks], x),
        "error_y": bars([mark.accuracy for mark in member.marks], y),
        "marker": {"color": style.colour, "symbol": symbols, "size": 13, "line": {"width": 2, "color": style.colour}},
        "hovertext": [_hover(mark.trial_id, mark.settings, _values_of_mark(info, mark)) for mark in member.marks],
        "customdata": [info.command(mark.trial_id) for mark in member.marks],
        "showlegend": True,
    }


def _values_of(info: PlaneInfo, point: Point) -> list[str]:
    objectives = f"accuracy {100 * point.accuracy:.1f} %, ECE {100 * point.ece:.1f} %, NLL {point.nll:.3f}"
    lines = ["search, by validation values of 1 training", objectives]
    if info.objectives != ("val_accuracy", "val_ece"):
        chosen = zip(short_titles(info.objectives), point.chosen_by, strict=True)
        lines.append(", ".join(f"{title} {100 * value:.1f} %" for title, value in chosen))
    return lines


def _values_of_mark(info: PlaneInfo, mark: Mark) -> list[str]:
    def shown(summary: Any) -> str:
        value = f"{100 * summary['mean']:.1f}"
        return f"{value} %" if summary["low"] is None else f"{value} % [{100 * summary['low']:.1f}, {100 * summary['high']:.1f}]"

    accuracy, ece = short_titles(info.objectives)
    seeds = f"{mark.n_finished} fresh seed{'' if mark.n_finished == 1 else 's'}"
    nll = "" if mark.nll is None else f", NLL {mark.nll:.3f}"
    return [
        f"confirmed as {', '.join(mark.roles)}, by test values over {seeds}",
        f"{accuracy} {shown(mark.accuracy)}, {ece} {shown(mark.ece)}{nll}",
    ]


def _hover(trial_id: str, settings: dict[str, Any], values: Sequence[str]) -> str:
    """Lines of escaped text: Plotly reads a few tags in it."""
    lines = [*values, *textwrap.wrap(format_settings(settings), width=56), "click copies the command that retrains it"]
    return "<br>".join([f"<b>{html.escape(trial_id, quote=False)}</b>", *(html.escape(line, quote=False) for line in lines)])
