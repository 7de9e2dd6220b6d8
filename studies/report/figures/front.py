"""The fronts as a figure: accuracy against ECE."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from studies.report.figures.panels import heading, plane_panels, set_view, shared_legend
from studies.report.infos.front import PlaneInfo
from studies.report.infos.marks import MethodPlane
from studies.report.palette import Style
from studies.report.section import Styles


def draw_front(info: PlaneInfo, styles: Styles) -> Any:
    """Accuracy against ECE, a panel a condition: trials faint, each method's front as steps, confirmed settings large with intervals.

    The axes show all fronts and confirmed settings whole; trials far behind may lie outside, and the panel says how many.

    Args:
        info: of a search with a row.
        styles: by method.

    Returns:
        A matplotlib Figure.
    """
    figure, panels = plane_panels(info.axis_titles, info.conditions)
    for axis, condition, members in panels:
        for member in members:
            _draw(axis, member, styles[member.method])
        if (view := info.views.get(condition)) is not None:
            set_view(axis, view)
            if view.n_outside:
                axis.set_title(f"condition {condition} ({view.n_outside} trials outside)", fontsize=10, loc="left", parse_math=False)
    shared_legend(figure)
    if (front := info.front) is not None:
        images = f"n = {front.n_val} validation images, {front.validation_labels} labels"
        tested = f"; large: {info.n_test} test images" if info.marks else ""
        heading(figure, f"{front.study}: {front.model} on {front.dataset}, {images}{tested}")
    return figure


def _draw(axis: Any, member: MethodPlane, style: Style) -> None:
    """One method in one panel."""
    colour, marker = style.colour, style.mpl_marker
    axis.scatter(*_percent(point.chosen_by for point in member.behind), s=18, color=colour, marker=marker, alpha=0.3, linewidths=0)
    x, y = _percent(point.chosen_by for point in member.front)
    strong = not member.marks
    if x:
        axis.step(x, y, where="post", color=colour, linestyle=style.mpl_line, linewidth=1.4, alpha=0.9 if strong else 0.45)
        label = member.method if strong else None
        look = {"edgecolors": "white", "linewidths": 0.6, "alpha": None if strong else 0.45}
        axis.scatter(x, y, s=34 if strong else 24, color=colour, marker=marker, zorder=3, label=label, **look)
    groups = [[mark for mark in member.marks if mark.on_front is on_front] for on_front in (True, False)]
    for index, marks in enumerate(group for group in groups if group):
        x, y = _percent(mark.place for mark in marks)
        axis.errorbar(
            x,
            y,
            xerr=_lengths([mark.ece for mark in marks]),
            yerr=_lengths([mark.accuracy for mark in marks]),
            fmt=marker,
            color=colour,
            markersize=6.5,
            markerfacecolor=colour if marks[0].on_front else "none",
            markeredgecolor=colour,
            markeredgewidth=1.4,
            elinewidth=1,
            capsize=2,
            zorder=4,
            label=None if index else member.method,
        )


def _percent(places: Iterable[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """ECEs and accuracies."""
    found = list(places)
    return [100 * ece for _, ece in found], [100 * accuracy for accuracy, _ in found]


def _lengths(summaries: Sequence[Any]) -> list[list[float]]:
    """From the means down and up to the ends of their intervals; NaN, which draws nothing, without one."""
    return [
        [math.nan if summary[end] is None else 100 * abs(summary[end] - summary["mean"]) for summary in summaries]
        for end in ("low", "high")
    ]
