"""Figures of many panels: blocks of panels, each of which begins on a row of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

WIDTH: Final = 7.0  # inches of two columns of text


def panel_blocks(sizes: Sequence[int], *, columns: int, height: float) -> tuple[Any, list[list[Any]]]:
    """A figure as wide as a page's text.

    Args:
        sizes: panels of each block, at least one.
        columns: panels a row, at most.
        height: of a row, in inches.

    Returns:
        A matplotlib Figure, and the Axes of each block.
    """
    from matplotlib.figure import Figure

    rows = [math.ceil(size / columns) for size in sizes]
    figure = Figure(figsize=(WIDTH, 0.6 + height * sum(rows)), layout="constrained")
    axes = figure.subplots(sum(rows), columns, squeeze=False)
    blocks = []
    start = 0
    for size, n_rows in zip(sizes, rows, strict=True):
        panels = axes[start : start + n_rows].ravel().tolist()
        for axis in panels[size:]:
            axis.set_visible(False)
        blocks.append(panels[:size])
        start += n_rows
    return figure, blocks


def label_axes(panels: Sequence[Any], *, columns: int, x: str, y: str) -> None:
    """Titles of the axes of one block, with units: y on the left, x below the lowest."""
    for index, axis in enumerate(panels):
        if index % columns == 0:
            axis.set_ylabel(y)
        if index + columns >= len(panels):
            axis.set_xlabel(x)


def lengths(values: Sequence[float], lows: Sequence[float | None], highs: Sequence[float | None]) -> list[list[float]]:
    """From values down and up to the ends of their intervals, as matplotlib's error bars have it; 0 where there is none.

    Wilson's interval of a share of 1 ends at 1 but for rounding, and matplotlib refuses a bar of -1e-16.
    """
    down = [0.0 if low is None else max(0.0, value - low) for value, low in zip(values, lows, strict=True)]
    up = [0.0 if high is None else max(0.0, high - value) for value, high in zip(values, highs, strict=True)]
    return [down, up]
