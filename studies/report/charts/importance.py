"""Importance of settings, for the page."""

from __future__ import annotations

import html
from typing import Any

from studies.report.charts.base import Trace, drawing, error_bars
from studies.report.infos.importance import ImportanceInfo
from studies.report.infos.objectives import KINDS
from studies.report.section import Chart, Styles

_ROW = 24  # pixels


def importance_charts(info: ImportanceInfo, styles: Styles) -> list[Chart]:
    """A chart an objective, a variant a condition: a bar a setting of each method."""
    charts = []
    for kind in KINDS:
        title = info.titles[kind]
        alt = f"Share of {title} that each searched setting explains, by method, with intervals."
        variants = {condition: _variant(info, condition, kind, styles) for condition in info.conditions}
        charts.append(Chart(f"importance_{kind}", alt, variants))
    return charts


def _variant(info: ImportanceInfo, condition: str, kind: str, styles: Styles) -> dict[str, Any]:
    traces: list[Trace] = []
    places: list[float] = []
    names: list[str] = []
    place = 0.0
    for arm, shares in info.members(condition, kind):
        own = [place + index for index in range(len(shares))]
        place += len(shares) + 0.6
        values = [100 * share.value for share in shares]
        lows = [None if share.low is None else 100 * share.low for share in shares]
        highs = [None if share.high is None else 100 * share.high for share in shares]
        labels = [f"{html.escape(arm.method)}: {html.escape(share.setting)}" for share in shares]
        places += own
        names += labels
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "x": values,
                "y": own,
                "width": 0.7,
                "name": html.escape(arm.method),
                "marker": {"color": styles[arm.method].colour, "opacity": 0.75},
                "error_x": dict(error_bars(values, lows, highs)),
                "hovertext": [f"{label} {value:.0f} %, n = {arm.n_trials}" for label, value in zip(labels, values, strict=True)],
                "hoverinfo": "text",
            }
        )
    return drawing(
        traces,
        x=f"share of what settings explain of {info.titles[kind]}, %",
        y="",
        height=90 + int(_ROW * (place + 1)),
        xaxis={"range": [0, 100]},
        yaxis={"tickvals": places, "ticktext": names, "autorange": "reversed", "showgrid": False, "zeroline": False},
        showlegend=False,
    )
