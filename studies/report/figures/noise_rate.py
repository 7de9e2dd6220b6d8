"""Accuracy and ECE against the noise rate as a figure."""

from __future__ import annotations

from typing import Any

from studies.report.figures.blocks import label_axes, lengths, panel_blocks
from studies.report.figures.panels import plain_axis, shared_legend
from studies.report.infos.noise_rate import NoiseRateInfo, RatePoint
from studies.report.palette import Style
from studies.report.section import Styles

_METRICS = {"accuracy": "accuracy, %", "ece": "ECE, %"}


def draw_noise_rate(info: NoiseRateInfo, styles: Styles) -> Any:
    """A row a metric and a panel a kind of noise; of one kind, both metrics side by side.

    Returns:
        A matplotlib Figure.
    """
    alone = len(info.kinds) == 1
    columns = 2 if alone else min(4, len(info.kinds))
    figure, blocks = panel_blocks([2] if alone else [len(info.kinds)] * 2, columns=columns, height=2.2)
    panels = [axis for block in blocks for axis in block]
    places = [(metric, kind) for metric in _METRICS for kind in info.kinds]
    for axis, (metric, kind) in zip(panels, places, strict=True):
        plain_axis(axis, kind.replace("_", " "))
        for method in info.methods:
            if line := info.line(kind, method):
                _draw_line(axis, line, metric, styles[method], info.shift(method))
    for title, block in zip(_METRICS.values(), [[axis] for axis in panels] if alone else blocks, strict=True):
        label_axes(block, columns=columns, x="wrong labels, %", y=title)
    shared_legend(figure)
    return figure


def _draw_line(axis: Any, points: list[RatePoint], metric: str, style: Style, shift: float) -> None:
    known = [(point.rate, summary) for point in points if (summary := getattr(point, metric)).mean is not None]
    means = [summary.mean for _, summary in known]
    ends = lengths(means, [summary.low for _, summary in known], [summary.high for _, summary in known])
    axis.errorbar(
        [100 * (rate + shift) for rate, _ in known],
        [100 * mean for mean in means],
        yerr=[[100 * length for length in side] for side in ends],
        color=style.colour,
        linestyle=style.mpl_line,
        marker=style.mpl_marker,
        markersize=4,
        elinewidth=0.8,
        capsize=2,
        label=points[0].method,
    )
