"""What charts on the page have in common. Colours of text, axes and grid are the page's, light or dark: its script sets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Trace = dict[str, Any]
_TOP, _BOTTOM, _LEGEND = 24, 96, 56  # pixels; the legend begins below the axis and its title


def drawing(data: Sequence[Trace], *, x: str, y: str, height: int = 420, **layout: Any) -> dict[str, Any]:
    """One chart with one pair of axes.

    Args:
        data: Plotly's traces.
        x, y: titles of the axes, with units.
        height: in pixels; the width is the page's.
        layout: more of Plotly's layout; `xaxis` and `yaxis` are merged with the titles.
    """
    axes = {
        "xaxis": {"title": {"text": x, "standoff": 8}} | layout.pop("xaxis", {}),
        "yaxis": {"title": {"text": y}} | layout.pop("yaxis", {}),
    }
    return {"data": list(data), "layout": base_layout(height=height, **axes, **layout)}


def base_layout(*, height: int = 420, **layout: Any) -> dict[str, Any]:
    """Plotly's layout as all charts have it: no title of its own, the legend below."""
    plotted = height - _TOP - _BOTTOM
    common: dict[str, Any] = {
        "height": height,
        "margin": {"l": 60, "r": 16, "t": _TOP, "b": _BOTTOM},
        "hovermode": "closest",
        "legend": {"orientation": "h", "yanchor": "top", "y": -_LEGEND / plotted, "x": 0},
        "hoverlabel": {"align": "left"},
    }
    return common | layout


def error_bars(values: Sequence[float | None], lows: Sequence[float | None], highs: Sequence[float | None]) -> Mapping[str, Any]:
    """Plotly's bars from a value to the ends of its interval; none where an end is missing."""

    def length(start: float | None, end: float | None) -> float:
        return 0.0 if start is None or end is None else end - start

    up = [length(value, high) for value, high in zip(values, highs, strict=True)]
    down = [length(low, value) for low, value in zip(lows, values, strict=True)]
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "thickness": 1.2, "width": 4}
