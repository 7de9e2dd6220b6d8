"""Wrong labels learnt by heart and true labels recovered on the page, epoch by epoch."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from studies.report.charts.base import Trace, drawing
from studies.report.infos.memorisation import MEASURES, TITLES, Measure, MemorisationInfo, MethodCurves, known
from studies.report.palette import Style
from studies.report.section import Chart, Styles

MOST_POINTS: Final = 200  # of a line: there are no more places on a screen to tell apart; the files have every epoch


def memorisation_charts(info: MemorisationInfo, styles: Styles) -> list[Chart]:
    """One chart a measure, by condition with wrong labels; left out where nothing measured it."""
    charts = []
    for measure in MEASURES:
        variants = {
            condition: _drawing(condition, members, measure, styles)
            for condition, members in info.conditions.items()
            if any(curves.bands[measure].n.any() for curves in members)
        }
        if variants:
            alt = f"Share of {TITLES[measure].removesuffix(', %')} by epoch, one line a method with an interval."
            charts.append(Chart(measure, alt, variants))
    return charts


def _drawing(condition: str, members: Sequence[MethodCurves], measure: Measure, styles: Styles) -> dict[str, Any]:
    data = [trace for curves in members for trace in _traces(curves, measure, styles[curves.method])]
    # The switch of conditions may say another one, without wrong labels: so the chart says its own.
    return drawing(data, x=f"epoch, condition {html.escape(condition)}", y=TITLES[measure], yaxis={"rangemode": "tozero"})


def _traces(curves: MethodCurves, measure: Measure, style: Style) -> list[Trace]:
    """The band below, then the line."""
    band = curves.bands[measure]
    method = html.escape(curves.method)
    n = len(band.mean)
    some = np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).round().astype(int))  # the first epoch and the last among them
    epochs, mean, low, high = some + 1, band.mean[some], band.low[some], band.high[some]
    line: Trace = {
        "type": "scatter",
        "mode": "lines",
        "name": method,
        "legendgroup": method,
        "x": epochs.tolist(),
        "y": known(np.round(100 * mean, 3)),
        "line": {"color": style.colour, "dash": style.line, "width": 1.8},
        "hovertemplate": f"{method}, epoch %{{x}}: %{{y:.1f}} %<extra></extra>",
    }
    there = ~np.isnan(low)
    if not there.any():
        return [line]
    around = np.concatenate([epochs[there], epochs[there][::-1]])
    ends = np.round(100 * np.concatenate([low[there], high[there][::-1]]), 3)
    area: Trace = {
        "type": "scatter",
        "mode": "lines",
        "fill": "toself",
        "fillcolor": style.faint(0.18),
        "line": {"width": 0},
        "legendgroup": method,
        "showlegend": False,
        "hoverinfo": "skip",
        "x": around.tolist(),
        "y": ends.tolist(),
    }
    return [area, line]
