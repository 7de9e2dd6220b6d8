"""Heat maps of corruption x severity as a figure."""

from __future__ import annotations

from typing import Any

import numpy as np

from studies.report.figures.blocks import panel_blocks
from studies.report.infos.corruptions import METRICS, MOST_PANELS, TITLES, CorruptedMethod, CorruptionsInfo, Metric
from studies.report.section import Styles


def draw_corruptions(info: CorruptionsInfo, styles: Styles) -> Any:
    """Accuracy and ECE, a panel a method; of the first and the last condition, with the percentage in each cell.

    Returns:
        A matplotlib Figure.
    """
    shown = {condition: info.conditions[condition][:MOST_PANELS] for condition in info.drawn}
    rows = [(condition, metric) for condition in shown for metric in METRICS]
    columns = max(map(len, shown.values()))
    height = 0.45 + 0.085 * len(info.corruptions)
    figure, blocks = panel_blocks([len(shown[condition]) for condition, _ in rows], columns=columns, height=height)
    for (condition, metric), axes in zip(rows, blocks, strict=True):
        image = None
        for index, (axis, member) in enumerate(zip(axes, shown[condition], strict=True)):
            image = _draw_panel(axis, info, member, metric)
            axis.set_title(f"{member.method}\n{condition}", fontsize=7 if columns < 5 else 5.5, loc="left", parse_math=False)
            _label(axis, info, first=index == 0)
        figure.colorbar(image, ax=axes, label=TITLES[metric], pad=0.01, fraction=0.02)
    return figure


def _draw_panel(axis: Any, info: CorruptionsInfo, member: CorruptedMethod, metric: Metric) -> Any:
    """Brighter is better in both metrics."""
    low, high = info.limits(metric)
    grid = 100 * member.grids[metric]
    scale = "cividis" if metric == "accuracy" else "cividis_r"
    image = axis.imshow(grid, cmap=scale, vmin=100 * low, vmax=100 * high, aspect="auto", interpolation="nearest")
    for (row, column), value in np.ndenumerate(grid):
        if not np.isnan(value):
            red, green, blue, _ = image.cmap(image.norm(value))
            ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
            text = axis.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=4.5, color=ink)
            text.set_in_layout(False)  # it lies inside its cell; looking at each takes seconds
    return image


def _label(axis: Any, info: CorruptionsInfo, *, first: bool) -> None:
    axis.set_xticks(range(len(info.severities)), [str(severity) for severity in info.severities], fontsize=5)
    names = [name.replace("_", " ") for name in info.corruptions] if first else []
    axis.set_yticks(range(len(names)), names, fontsize=5)
    for text in axis.get_yticklabels():
        text.set_parse_math(False)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_xlabel("severity", fontsize=5)
