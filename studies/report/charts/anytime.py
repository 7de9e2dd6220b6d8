"""Hypervolume against trials and against training time, for the page."""

from __future__ import annotations

import html
from typing import Any

from studies.report.charts.base import Trace, drawing
from studies.report.infos.anytime import AnytimeInfo, Course
from studies.report.palette import Style
from studies.report.section import Chart, Styles

_AXES = {"n_trials": "trials that ended", "train_seconds": "training of the arm, s"}


def anytime_charts(info: AnytimeInfo, styles: Styles) -> list[Chart]:
    """Two charts with a variant a condition.

    Args:
        info: with a finished trial.
        styles: by method.
    """
    return [
        Chart(
            f"anytime_{column}",
            f"Hypervolume of each method's front so far against {title}; the table below holds every value.",
            {condition: _variant(courses, styles, column) for condition, courses in info.conditions.items()},
        )
        for column, title in _AXES.items()
    ]


def _variant(courses: Any, styles: Styles, column: str) -> dict[str, Any]:
    traces = [_trace(course, styles[course.method], column) for course in courses]
    return drawing(traces, x=_AXES[column], y="hypervolume (higher is better)", height=380, xaxis={"rangemode": "tozero"})


def _trace(course: Course, style: Style, column: str) -> Trace:
    name = html.escape(course.name, quote=False)
    values = zip(course.n_trials, course.train_seconds, course.hypervolume, strict=True)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": list(getattr(course, column)),
        "y": list(course.hypervolume),
        "line": {
            "color": style.colour,
            "dash": "dot" if course.at_random else "solid",
            "width": 1.2 if course.at_random else 2,
            "shape": "hv",
        },
        "marker": {
            "color": style.colour,
            "symbol": f"{style.marker}-open" if course.at_random else style.marker,
            "maxdisplayed": 9,
            "size": 7,
        },
        "hoverinfo": "text",
        "hovertext": [f"{name}<br>after {n} trials, {seconds:.1f} s of training: {area:.4f}" for n, seconds, area in values],
    }
