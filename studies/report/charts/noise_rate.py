"""Accuracy and ECE against the noise rate on the page, a panel a kind of noise."""

from __future__ import annotations

import html
from typing import Any

from studies.report.charts.base import Trace, error_bars
from studies.report.charts.panels import panel_axes, panel_layout
from studies.report.infos.noise_rate import NoiseRateInfo, RatePoint
from studies.report.palette import Style
from studies.report.section import Chart, Styles
from studies.statistics.seeds import SeedSummary


def noise_rate_charts(info: NoiseRateInfo, styles: Styles) -> list[Chart]:
    """Accuracy, then ECE."""
    titles = {"accuracy": "accuracy, %", "ece": "ECE, %"}
    return [
        Chart(
            f"noise_rate_{metric}",
            f"{title.partition(',')[0]} against the share of wrong training labels, one line a method with intervals over seeds.",
            {"all": _drawing(info, styles, metric, title)},
        )
        for metric, title in titles.items()
    ]


def _drawing(info: NoiseRateInfo, styles: Styles, metric: str, title: str) -> dict[str, Any]:
    data = []
    named: set[str] = set()
    for index, kind in enumerate(info.kinds):
        for method in info.methods:
            if line := info.line(kind, method):
                data.append(_line(line, metric, styles[method], info.shift(method), method not in named) | panel_axes(index))
                named.add(method)
    names = [kind.replace("_", " ") for kind in info.kinds]
    layout = panel_layout(names, columns=2, height=320 if len(names) < 3 else 260, x="wrong labels, %", y=title)
    return {"data": data, "layout": layout}


def _line(points: list[RatePoint], metric: str, style: Style, shift: float, legend: bool) -> Trace:
    summaries: list[SeedSummary] = [getattr(point, metric) for point in points]
    values, lows, highs = (
        [None if value is None else round(100 * value, 3) for value in column]
        for column in ([s.mean for s in summaries], [s.low for s in summaries], [s.high for s in summaries])
    )
    method = html.escape(points[0].method)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": method,
        "legendgroup": method,
        "showlegend": legend,
        "x": [round(100 * (point.rate + shift), 3) for point in points],
        "y": values,
        "error_y": error_bars(values, lows, highs),
        "line": {"color": style.colour, "dash": style.line, "width": 1.8},
        "marker": {"color": style.colour, "symbol": style.marker, "size": 8},
        "hovertext": [
            f"{method}, {html.escape(point.condition)}<br>{100 * point.rate:.1f} % wrong labels<br>{_shown(summary)} (n = {summary.n})"
            for point, summary in zip(points, summaries, strict=True)
        ],
        "hoverinfo": "text",
    }


def _shown(summary: SeedSummary) -> str:
    if summary.mean is None:
        return "not measured"
    interval = "" if summary.low is None or summary.high is None else f" [{100 * summary.low:.1f}, {100 * summary.high:.1f}]"
    return f"{100 * summary.mean:.1f} %{interval}"
