"""Parallel coordinates for the page: lines of plain SVG over axes from 0 to 1."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any, Final

from studies.report.charts.base import Trace, base_layout
from studies.report.infos.parallel import Line, MethodLines, ParallelInfo
from studies.report.section import Chart, Styles

_GREY: Final = "rgba(127,127,127,0.35)"
_SHIFT: Final = 14  # pixels of a label beyond its end of an axis


def parallel_charts(info: ParallelInfo, styles: Styles) -> list[Chart]:
    """A chart a method, a variant a condition."""
    charts = []
    for index, method in enumerate(info.shown):
        conditions = dict.fromkeys(line.condition for line in method.lines)
        variants = {condition: _variant(method, condition, styles) for condition in conditions}
        axes = ", ".join(axis.title for axis in method.axes)
        charts.append(Chart(f"parallel_{index}", f"{method.method}: its finished trials along {axes}.", variants))
    return charts


def _variant(method: MethodLines, condition: str, styles: Styles) -> dict[str, Any]:
    own = [line for line in method.lines if line.condition == condition]
    style = styles[method.method]
    groups = (
        ("other trials", [line for line in own if not line.on_front], {"line": {"color": _GREY, "width": 1}, "mode": "lines"}),
        (
            "front",
            [line for line in own if line.on_front],
            {
                "line": {"color": style.colour, "width": 2.5},
                "mode": "lines+markers",
                "marker": {"color": style.colour, "symbol": style.marker, "size": 7},
            },
        ),
    )
    traces = [_trace(method, lines) | {"name": title} | look for title, lines, look in groups if lines]
    places = list(range(len(method.axes)))
    return {
        "data": traces,
        "layout": base_layout(
            height=360,
            margin={"l": 40, "r": 40, "t": 24, "b": 84},
            xaxis={
                "tickvals": places,
                "ticktext": [html.escape(axis.title) + ("<br>(log)" if axis.log else "") for axis in method.axes],
                "range": [-0.3, len(places) - 0.7],
                "zeroline": False,
            },
            yaxis={"visible": False, "range": [-0.12, 1.12]},
            legend={"title": {"text": f"{html.escape(method.method)} "}, "orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
            annotations=[
                {"x": place, "y": at, "text": html.escape(text), "showarrow": False, "yshift": _shift(at), "font": {"size": 11}}
                for place, axis in zip(places, method.axes, strict=True)
                for at, text in axis.marks
            ],
        ),
    }


def _shift(at: float) -> int:
    """Labels of ends stand beyond them, those of choices between just above."""
    return -_SHIFT if at == 0 else _SHIFT


def _trace(method: MethodLines, lines: Sequence[Line]) -> Trace:
    """All lines as one trace, with a gap after each."""
    x: list[float | None] = []
    y: list[float | None] = []
    texts: list[str | None] = []
    for line in lines:
        x += [*range(len(method.axes)), None]
        y += [None if place is None else round(place, 4) for place in line.places] + [None]
        name = html.escape(line.trial_id)
        texts += [f"{name}<br>{html.escape(f'{axis.title}: {text}')}" for axis, text in zip(method.axes, line.texts, strict=True)] + [None]
    return {"type": "scatter", "x": x, "y": y, "hovertext": texts, "hoverinfo": "text", "connectgaps": False}
