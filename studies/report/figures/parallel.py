"""Parallel coordinates for paper."""

from __future__ import annotations

from typing import Any, Final

from studies.report.figures.panels import shared_legend
from studies.report.infos.parallel import MethodLines, ParallelInfo
from studies.report.palette import styles as condition_styles
from studies.report.section import Styles


def draw_parallel(info: ParallelInfo, styles: Styles) -> Any:
    """A panel a method; all conditions in one, their fronts told apart by the line.

    Returns:
        A matplotlib Figure.
    """
    from matplotlib.figure import Figure

    shown = info.shown
    conditions = list(dict.fromkeys(line.condition for method in shown for line in method.lines))
    figure = Figure(figsize=(7.0, 0.4 + 1.5 * max(1, len(shown))), layout="constrained")
    for axis, method in zip(figure.subplots(max(1, len(shown)), 1, squeeze=False).ravel(), shown, strict=False):
        _draw(axis, method, styles[method.method].colour, conditions)
    shared_legend(figure)
    return figure


_GREY: Final = "0.6"


def _draw(axis: Any, method: MethodLines, colour: str, conditions: list[str]) -> None:
    looks = condition_styles(conditions)
    places = list(range(len(method.axes)))
    for line in sorted(method.lines, key=lambda line: line.on_front):
        y = [float("nan") if place is None else place for place in line.places]
        look = looks[line.condition].mpl_line
        if line.on_front:
            axis.plot(places, y, color=colour, linestyle=look, linewidth=1.2)
        else:
            axis.plot(places, y, color=_GREY, linewidth=0.5, alpha=0.35)
    for condition in conditions:  # in the legend, whether or not it has a front
        axis.plot([], [], color="0.2", linestyle=looks[condition].mpl_line, label=f"front, condition {condition}")
    for place, one in zip(places, method.axes, strict=True):
        axis.axvline(place, color="0.3", linewidth=0.6, zorder=0)
        for at, text in one.marks:
            away, anchor = (-2, "top") if at == 0 else (2, "bottom")
            axis.annotate(text, (place, at), (0, away), textcoords="offset points", ha="center", va=anchor, fontsize=6, parse_math=False)
    axis.set_xlim(-0.3, len(places) - 0.7)
    axis.set_ylim(-0.2, 1.2)
    axis.set_xticks(places, labels=[one.title + (" (log)" if one.log else "") for one in method.axes], fontsize=6)
    for label in axis.get_xticklabels():
        label.set_parse_math(False)
    axis.set_yticks([])
    axis.tick_params(axis="x", length=0, pad=6)
    axis.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axis.set_title(method.method, loc="left", fontsize=8, parse_math=False)
