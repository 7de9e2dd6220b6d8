"""Attainment surfaces as a figure."""

from __future__ import annotations

from typing import Any

from studies.report.figures.panels import condition_panels, shared_legend
from studies.report.infos.attainment import AttainmentInfo, Line, band, staircase
from studies.report.section import Styles


def draw_attainment(info: AttainmentInfo, styles: Styles) -> Any:
    """A panel a condition: what half of the seeds of a method reach as a line, between 25 and 75 % as a band.

    Args:
        info: with a surface.
        styles: by method.

    Returns:
        A matplotlib Figure.
    """
    accuracy, ece = info.axis_titles
    figure, axes = condition_panels(list(info.conditions), x=ece, y=accuracy)
    for axis, (condition, members) in zip(axes, info.conditions.items(), strict=True):
        view = info.views[condition]
        for surfaces in members:
            style = styles[surfaces.method]
            axis.fill(*_percent(band(surfaces.corners[75], surfaces.corners[25], view)), color=style.colour, alpha=0.18, linewidth=0)
            line = _percent(staircase(surfaces.corners[50], view))
            axis.plot(*line, color=style.colour, linestyle=style.mpl_line, linewidth=1.4, label=surfaces.method)
        axis.set_xlim(*(100 * end for end in view.ece))
        axis.set_ylim(*(100 * end for end in view.accuracy))
    shared_legend(figure)
    return figure


def _percent(line: Line) -> Line:
    x, y = line
    return [100 * value for value in x], [100 * value for value in y]
