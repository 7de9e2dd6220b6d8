"""Importance of settings, for paper."""

from __future__ import annotations

from typing import Any

from studies.report.figures.panels import plain_axis
from studies.report.infos.importance import ImportanceInfo
from studies.report.infos.objectives import KINDS
from studies.report.section import Styles


def draw_importance(info: ImportanceInfo, styles: Styles) -> Any:
    """A row of panels a condition, a column an objective: a bar a setting of each method.

    Returns:
        A matplotlib Figure.
    """
    from matplotlib.figure import Figure

    conditions = info.conditions
    lengths = [max(sum(len(shares) for _, shares in info.members(condition, kind)) for kind in KINDS) for condition in conditions]
    figure = Figure(figsize=(7.0, 0.9 * len(conditions) + 0.16 * sum(lengths)), layout="constrained")
    axes = figure.subplots(len(conditions), len(KINDS), squeeze=False, height_ratios=[max(1, length) for length in lengths])
    for row, condition in zip(axes, conditions, strict=True):
        for axis, kind in zip(row, KINDS, strict=True):
            _draw(axis, info, condition, kind, styles)
            plain_axis(axis, f"{info.titles[kind]}, condition {condition}")
    for axis in axes[-1]:
        axis.set_xlabel("share, %")
    return figure


def _draw(axis: Any, info: ImportanceInfo, condition: str, kind: str, styles: Styles) -> None:
    names: list[str] = []
    for arm, shares in info.members(condition, kind):
        for share in shares:
            place, value = len(names), 100 * share.value
            axis.barh([place], [value], height=0.7, color=styles[arm.method].colour, alpha=0.75)
            if share.low is not None and share.high is not None:
                axis.plot([100 * share.low, 100 * share.high], [place, place], color="0.15", linewidth=0.8)
            names.append(f"{arm.method}: {share.setting}")
    axis.set_yticks(range(len(names)), labels=names, fontsize=6)
    for label in axis.get_yticklabels():
        label.set_parse_math(False)
    axis.set_xlim(0, 100)
    axis.invert_yaxis()
