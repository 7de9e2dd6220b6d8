"""Hypervolume against trials and against training time as a figure."""

from __future__ import annotations

from typing import Any

from studies.report.figures.panels import plain_axis, shared_legend
from studies.report.infos.anytime import AnytimeInfo
from studies.report.section import Styles

_AXES = {"n_trials": "trials that ended", "train_seconds": "training of the arm, s"}


def draw_anytime(info: AnytimeInfo, styles: Styles) -> Any:
    """A row a condition, against trials on the left and against training time on the right; random twins are dotted.

    Args:
        info: with a finished trial.
        styles: by method.

    Returns:
        A matplotlib Figure.
    """
    from matplotlib.figure import Figure

    n_rows = len(info.conditions)
    figure = Figure(figsize=(7.0, 0.8 + 2.2 * n_rows), layout="constrained")
    rows = figure.subplots(n_rows, len(_AXES), squeeze=False, sharey="row")
    for index, (panels, (condition, courses)) in enumerate(zip(rows, info.conditions.items(), strict=True)):
        for axis, (column, title) in zip(panels, _AXES.items(), strict=True):
            plain_axis(axis, f"condition {condition}")
            for course in courses:
                style = styles[course.method]
                axis.step(
                    getattr(course, column),
                    course.hypervolume,
                    where="post",
                    color=style.colour,
                    linestyle=":" if course.at_random else "-",
                    linewidth=1 if course.at_random else 1.5,
                    marker=style.mpl_marker,
                    markersize=4,
                    markerfacecolor="none" if course.at_random else style.colour,
                    markevery=max(1, len(course.n_trials) // 8),
                    label=course.name,
                )
            axis.set_xlim(left=0)
            if index == n_rows - 1:
                axis.set_xlabel(title)
        panels[0].set_ylabel("hypervolume")
    shared_legend(figure)
    return figure
