"""Small multiples on the page: panels with their own axes and equal ranges, in rows that fit a chart's width."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from studies.report.charts.base import base_layout

_MARGIN_TOP, _MARGIN_BOTTOM = 32, 48  # pixels
_GAP: Final = 60  # between rows, for the axis above and the name below
_SPACE: Final = 0.06  # between columns, of the chart's width


def panel_axes(index: int) -> dict[str, str]:
    """The axes of a panel, for its traces."""
    number = "" if index == 0 else str(index + 1)
    return {"xaxis": f"x{number}", "yaxis": f"y{number}"}


def panel_layout(
    names: Sequence[str],
    *,
    columns: int,
    height: int,
    x: str,
    y: str,
    xaxis: Mapping[str, Any] | None = None,
    yaxis: Mapping[str, Any] | None = None,
    **layout: Any,
) -> dict[str, Any]:
    """Plotly's layout of panels, row by row from the upper left; zooming one zooms all.

    Args:
        names: above each panel; as plain text.
        columns: at most.
        height: of a panel, in pixels.
        x, y: titles of the axes, below the lowest panels and left of the leftmost.
        xaxis, yaxis: what all axes have.
        layout: more of Plotly's layout.
    """
    n = len(names)
    columns = max(1, min(columns, n))
    rows = math.ceil(n / columns)
    whole = rows * height + (rows - 1) * _GAP
    width = (1 - _SPACE * (columns - 1)) / columns
    axes: dict[str, Any] = {}
    titles = []
    for index, name in enumerate(names):
        row, column = divmod(index, columns)
        left, top = column * (width + _SPACE), 1 - row * (height + _GAP) / whole
        domains = {"x": [left, min(1.0, left + width)], "y": [max(0.0, top - height / whole), top]}
        here = panel_axes(index)
        lowest, leftmost = index + columns >= n, column == 0
        for letter, shared, title, shown in (("x", xaxis, x, lowest), ("y", yaxis, y, leftmost)):
            axis = {"domain": domains[letter], "anchor": here["yaxis" if letter == "x" else "xaxis"], **(shared or {})}
            axis |= {"title": {"text": title, "standoff": 8}} if shown else {}
            axis |= {"matches": letter} if index else {}
            axis |= {"showticklabels": False} if letter == "y" and not leftmost else {}
            axes[here[f"{letter}axis"].replace(letter, f"{letter}axis")] = axis
        titles.append(
            {
                "text": html.escape(name),
                "xref": "paper",
                "yref": "paper",
                "x": left,
                "y": top,
                "xanchor": "left",
                "yanchor": "bottom",
                "showarrow": False,
                "font": {"size": 12},
            }
        )
    return base_layout(
        height=whole + _MARGIN_TOP + _MARGIN_BOTTOM,
        **{
            "margin": {"l": 60, "r": 16, "t": _MARGIN_TOP, "b": _MARGIN_BOTTOM},
            "legend": {"orientation": "h", "yanchor": "top", "y": below(whole), "x": 0},
            "annotations": titles,
            **axes,
            **layout,
        },
    )


def below(whole: int, pixels: int = 60) -> float:
    """A place below the lowest axis, in parts of the panels' height together."""
    return -pixels / whole


def panels_height(n: int, columns: int, height: int) -> int:
    """Of n panels together, in pixels, without margins."""
    rows = math.ceil(n / max(1, min(columns, n)))
    return rows * height + (rows - 1) * _GAP
