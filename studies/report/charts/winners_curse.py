"""The search's values against confirmed ones, for the page."""

from __future__ import annotations

import html
from typing import Any

from studies.report.charts.base import Trace, drawing
from studies.report.infos.objectives import KINDS
from studies.report.infos.winners_curse import SPLITS, CurseInfo, condition_of, method_of
from studies.report.palette import Style
from studies.report.section import Chart, Styles
from studies.report.source import Numbers


def winners_curse_charts(info: CurseInfo, styles: Styles) -> list[Chart]:
    """A chart an objective, a variant a condition: full marks on test images, open ones on the same images."""
    charts = []
    for kind in KINDS:
        title = info.titles[kind]
        side = "Below" if kind == "accuracy" else "Above"
        alt = f"Confirmed against searched {title} of the chosen settings. {side} the dotted diagonal the search was too optimistic."
        variants = {condition: _variant(info, kind, condition, styles) for condition in info.conditions}
        charts.append(Chart(f"winners_curse_{kind}", alt, variants))
    return charts


def _variant(info: CurseInfo, kind: str, condition: str, styles: Styles) -> dict[str, Any]:
    points = [point for point in info.points if condition_of(point) == condition]
    traces: list[Trace] = []
    ends: list[float] = []
    for method in styles:
        own = [point for point in points if method_of(point) == method]
        for split in SPLITS:
            traces += _trace(own, method, split, kind, styles[method])
            ends += [100 * value for pair in _pairs(own, f"{split}_{kind}") for value in pair]
    if ends:
        diagonal = [min(ends), max(ends)]
        line = {"color": "#7F7F7F", "dash": "dot", "width": 1}
        plain = {"mode": "lines", "line": line, "hoverinfo": "skip", "showlegend": False}
        traces.insert(0, {"type": "scatter", "x": diagonal, "y": diagonal, **plain})
    title = info.titles[kind]
    return drawing(traces, x=f"{title} in the search, %", y=f"{title} with fresh seeds, %")


def _trace(points: list[Numbers], method: str, split: str, kind: str, style: Style) -> list[Trace]:
    metric = f"{split}_{kind}"
    known = [point for point in points if point["gaps"][metric]["shrinkage"] is not None]
    if not known:
        return []
    pairs = _pairs(known, metric)
    symbol = style.marker if split == "test" else f"{style.marker}-open"
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": f"{html.escape(method)}, {SPLITS[split]}",
            "x": [100 * searched for searched, _ in pairs],
            "y": [100 * confirmed for _, confirmed in pairs],
            "marker": {"color": style.colour, "symbol": symbol, "size": 10, "line": {"color": style.colour, "width": 1.5}},
            "hovertext": [_hover(point, metric) for point in known],
            "hoverinfo": "text",
        }
    ]


def _pairs(points: list[Numbers], metric: str) -> list[tuple[float, float]]:
    gaps = [point["gaps"][metric] for point in points]
    return [(gap["searched"], gap["confirmed"]) for gap in gaps if gap["shrinkage"] is not None]


def _hover(point: Numbers, metric: str) -> str:
    gap = point["gaps"][metric]
    values = f"search {100 * gap['searched']:.1f} %, confirmed {100 * gap['confirmed']:.1f} % (n = {point['n_replicates']})"
    lines = [html.escape(point["trial_id"]), html.escape(point["roles"]), values, f"too optimistic by {100 * gap['shrinkage']:+.1f} points"]
    return "<br>".join(lines)
