"""Attainment surfaces as a figure."""

from __future__ import annotations

from typing import Any

from studies.report.figures.panels import plane_panels, set_view, shared_legend
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
    figure, panels = plane_panels(info.axis_titles, info.conditions)
    for axis, condition, members in panels:
        view = info.views[condition]
        for surfaces in members:
            style = styles[surfaces.method]
            axis.fill(*_percent(band(surfaces.corners[75], surfaces.corners[25], view)), color=style.colour, alpha=0.18, linewidth=0)
            line = _percent(staircase(surfaces.corners[50], view))
            axis.plot(*line, color=style.colour, linestyle=style.mpl_line, linewidth=1.4, label=surfaces.method)
        set_view(axis, view)
    shared_legend(figure)
    return figure


def _percent(line: Line) -> Line:
    x, y = line
    return [100 * value for value in x], [100 * value for value in y]
