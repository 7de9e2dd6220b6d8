"""Wrong labels learnt by heart and true labels recovered as a figure."""

from __future__ import annotations

from typing import Any

import numpy as np

from studies.report.figures.blocks import label_axes, panel_blocks
from studies.report.figures.panels import plain_axis, shared_legend
from studies.report.infos.memorisation import MEASURES, TITLES, Measure, MemorisationInfo, MethodCurves
from studies.report.palette import Style
from studies.report.section import Styles


def draw_memorisation(info: MemorisationInfo, styles: Styles) -> Any:
    """A row a measure and a panel a condition with wrong labels; of one condition, both measures side by side.

    Returns:
        A matplotlib Figure.
    """
    from matplotlib.ticker import MaxNLocator

    n = len(info.conditions)
    columns = 2 if n == 1 else min(4, n)
    figure, blocks = panel_blocks([2] if n == 1 else [n] * len(MEASURES), columns=columns, height=2.2)
    panels = [axis for block in blocks for axis in block]
    places = [(measure, condition) for measure in MEASURES for condition in info.conditions]
    for axis, (measure, condition) in zip(panels, places, strict=True):
        plain_axis(axis, f"condition {condition}")
        for curves in info.conditions[condition]:
            _draw_curve(axis, curves, measure, styles[curves.method])
        axis.set_ylim(bottom=0)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    for measure, block in zip(MEASURES, [[axis] for axis in panels] if n == 1 else blocks, strict=True):
        label_axes(block, columns=columns, x="epoch", y=TITLES[measure])
    shared_legend(figure)
    return figure


def _draw_curve(axis: Any, curves: MethodCurves, measure: Measure, style: Style) -> None:
    band = curves.bands[measure]
    if not band.n.any():
        return
    epochs = np.arange(1, len(band.mean) + 1)
    axis.fill_between(epochs, 100 * band.low, 100 * band.high, color=style.colour, alpha=0.18, linewidth=0)
    # Beside the line its marker, at the start and then now and again: it tells the lines apart in greyscale.
    every = max(1, len(epochs) // 6)
    axis.plot(
        epochs,
        100 * band.mean,
        color=style.colour,
        linestyle=style.mpl_line,
        marker=style.mpl_marker,
        markevery=every,
        markersize=3.5,
        label=curves.method,
    )
