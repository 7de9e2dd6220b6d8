"""Heat maps of corruption x severity on the page, a panel a method."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from studies.report.charts.panels import below, panel_axes, panel_layout, panels_height
from studies.report.infos.corruptions import METRICS, MOST_PANELS, TITLES, CorruptedMethod, CorruptionsInfo, Metric
from studies.report.section import Chart, Styles


def corruptions_charts(info: CorruptionsInfo, styles: Styles) -> list[Chart]:
    """Accuracy, then ECE; by condition. Brighter is better in both, and one scale of colours holds for all panels and conditions."""
    return [
        Chart(
            f"corruptions_{metric}",
            f"Heat map of {TITLES[metric]} by corruption (rows) and severity (columns), a panel a method; brighter is better.",
            {condition: _drawing(info, metric, members[:MOST_PANELS]) for condition, members in info.conditions.items()},
        )
        for metric in METRICS
    ]


def _drawing(info: CorruptionsInfo, metric: Metric, members: Sequence[CorruptedMethod]) -> dict[str, Any]:
    low, high = info.limits(metric)
    names = [html.escape(name.replace("_", " ")) for name in info.corruptions]
    data = [
        {
            "type": "heatmap",
            "x": [str(severity) for severity in info.severities],
            "y": names,
            "z": [[None if np.isnan(value) else round(100 * value, 2) for value in row] for row in member.grids[metric].tolist()],
            "coloraxis": "coloraxis",
            "texttemplate": "%{z:.0f}",  # hidden where it does not fit: no size is given
            "xgap": 1,
            "ygap": 1,
            "hovertemplate": f"{html.escape(member.method)}<br>%{{y}}, severity %{{x}}<br>{TITLES[metric]}: %{{z:.1f}}<extra></extra>",
            **panel_axes(index),
        }
        for index, member in enumerate(members)
    ]
    height = 60 + 19 * len(names)
    columns = 2 if len(members) <= 4 else 3
    whole = panels_height(len(members), columns, height)
    bar = {"orientation": "h", "thickness": 10, "len": 0.6, "x": 0.5, "y": below(whole, 48), "yanchor": "top"}
    layout = panel_layout(
        [member.method for member in members],
        columns=columns,
        height=height,
        x="severity",
        y="",
        xaxis={"type": "category", "showgrid": False},
        yaxis={"type": "category", "showgrid": False, "autorange": "reversed"},
        coloraxis={
            "colorscale": "Cividis",
            "reversescale": metric == "ece",
            "cmin": 100 * low,
            "cmax": 100 * high,
            "colorbar": bar | {"title": {"text": TITLES[metric], "side": "top"}},
        },
    )
    layout["margin"] = layout["margin"] | {"b": 110}
    layout["height"] += 62
    return {"data": data, "layout": layout}
