"""The fronts as a figure: accuracy against ECE."""

from __future__ import annotations

import math
import textwrap
from typing import Any, Final

from studies.front import ArmFront, FrontInfo, Point, objective_titles

# Okabe & Ito's colours, ordered so that neighbours also differ in lightness: with marker and line style they read in greyscale.
_COLOURS: Final = ("#0072B2", "#E69F00", "#000000", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
_MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
_LINES: Final = ("-", "--", "-.", ":")


def draw_front(info: FrontInfo) -> Any:
    """Accuracy against ECE, a panel a condition: all trials faint, each method's front drawn as steps.

    The axes show all fronts whole; trials far behind may lie outside, and the panel says how many.

    Returns:
        A matplotlib Figure.
    """
    from matplotlib.figure import Figure

    n_panels = max(1, len(info.conditions))
    n_columns = min(3, n_panels)
    n_rows = math.ceil(n_panels / n_columns)
    figure = Figure(figsize=(1.2 + 3.4 * n_columns, 1.0 + 3.1 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    methods = sorted({arm.method for arms in info.conditions.values() for arm in arms})
    styles = {method: index for index, method in enumerate(methods)}
    for axis, (condition, arms) in zip(axes, info.conditions.items(), strict=False):
        _draw_panel(axis, condition, arms, styles)
    for axis in axes[len(info.conditions) :]:
        axis.set_visible(False)
    labels = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    if labels:
        figure.legend(labels.values(), labels.keys(), loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
    accuracy_title, ece_title = objective_titles(info.objectives)
    for index, axis in enumerate(axes[: len(info.conditions)]):
        if index % n_columns == 0:
            axis.set_ylabel(f"{accuracy_title}, % (higher is better)")
        if index + n_columns >= len(info.conditions):
            axis.set_xlabel(f"{ece_title}, % (lower is better)")
    title = f"{info.study}: {info.model} on {info.dataset}, n = {info.n_val} validation images, {info.validation_labels} labels"
    lines = textwrap.wrap(title, width=int(9 * figure.get_figwidth()))
    figure.suptitle("\n".join(lines), fontsize=11, x=0.01, ha="left", parse_math=False)
    return figure


def _draw_panel(axis: Any, condition: str, arms: list[ArmFront], styles: dict[str, int]) -> None:
    for arm in arms:
        index = styles[arm.method]
        colour, marker, line = (palette[index % len(palette)] for palette in (_COLOURS, _MARKERS, _LINES))
        if not arm.points:
            continue
        behind = [point for point in arm.points if not point.on_front]
        axis.scatter(*_percent(behind), s=18, color=colour, marker=marker, alpha=0.3, linewidths=0)
        front = sorted(arm.front, key=lambda point: (point.chosen_by[1], point.chosen_by[0]))
        x, y = _percent(front)
        axis.step(x, y, where="post", color=colour, linestyle=line, linewidth=1.4, alpha=0.9)
        axis.scatter(x, y, s=34, color=colour, marker=marker, edgecolors="white", linewidths=0.6, zorder=3, label=arm.method)
    title = f"condition {condition}"
    points = [point for arm in arms for point in arm.points]
    if points:
        n_outside = _set_limits(axis, points)
        title += f" ({n_outside} trials outside)" if n_outside else ""
    axis.set_title(title, fontsize=10, loc="left", parse_math=False)
    axis.grid(visible=True, alpha=0.25, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)


def _percent(points: list[Point]) -> tuple[list[float], list[float]]:
    return [100 * point.chosen_by[1] for point in points], [100 * point.chosen_by[0] for point in points]


def _set_limits(axis: Any, points: list[Point]) -> int:
    """Show all fronts and the better three quarters of the trials; the number of trials left outside."""
    front_x, front_y = _percent([point for point in points if point.on_front])
    all_x, all_y = (sorted(values) for values in _percent(points))
    right = max(*front_x, all_x[int(0.75 * (len(all_x) - 1))])
    bottom = min(*front_y, all_y[math.ceil(0.25 * (len(all_y) - 1))])
    left, top = min(all_x), max(all_y)
    margin_x, margin_y = 0.06 * (right - left) + 0.3, 0.06 * (top - bottom) + 0.3
    axis.set_xlim(max(-0.3, left - margin_x), right + margin_x)
    axis.set_ylim(bottom - margin_y, min(100.6, top + margin_y))
    return sum(x > right + margin_x or y < bottom - margin_y for x, y in zip(*_percent(points), strict=True))
