"""Reliability diagrams as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from studies.report.figures.blocks import label_axes, lengths, panel_blocks
from studies.report.figures.panels import plain_axis, shared_legend
from studies.report.infos.reliability import Diagram, ReliabilityInfo
from studies.report.palette import Style
from studies.report.section import Styles
from studies.statistics.reliability import N_BINS, Bin


def draw_reliability(info: ReliabilityInfo, styles: Styles) -> Any:
    """Accuracy against confidence, before and after temperature scaling, over the share of images.

    A panel a method, in the conditions that there is room for.

    Returns:
        A matplotlib Figure.
    """
    columns = info.columns
    figure, blocks = panel_blocks([len(info.conditions[condition]) for condition in info.drawn], columns=columns, height=1.7)
    for condition, axes in zip(info.drawn, blocks, strict=True):
        for axis, diagram in zip(axes, info.conditions[condition], strict=True):
            plain_axis(axis, f"{diagram.method}\n{condition}")
            _draw_panel(axis, diagram, styles[diagram.method])
        label_axes(axes, columns=columns, x="confidence, %", y="accuracy, %")
    shared_legend(figure)
    return figure


def _draw_panel(axis: Any, diagram: Diagram, style: Style) -> None:
    axis.plot([0, 100], [0, 100], color="#888888", linestyle=":", linewidth=0.8)
    left = [100 * entry.number / N_BINS for entry in diagram.before]
    shares = [100 * entry.share for entry in diagram.before]
    axis.bar(left, shares, width=100 / N_BINS, align="edge", color=style.colour, alpha=0.2, linewidth=0, label="share of images, %")
    _draw_points(axis, diagram.before, style, before=True)
    if diagram.after is not None:
        _draw_points(axis, diagram.after, style, before=False)
    axis.set(xlim=(-3, 103), ylim=(-3, 103), xticks=(0, 50, 100), yticks=(0, 50, 100))
    axis.set_box_aspect(1)


def _draw_points(axis: Any, bins: Sequence[Bin], style: Style, *, before: bool) -> None:
    accuracies = [entry.accuracy for entry in bins]
    ends = lengths(accuracies, [entry.low for entry in bins], [entry.high for entry in bins])
    x, y = [100 * entry.confidence for entry in bins], [100 * value for value in accuracies]
    line = "-" if before else "--"
    yerr = [[100 * length for length in side] for side in ends]
    axis.errorbar(x, y, yerr=yerr, color=style.colour, linestyle=line, linewidth=0.8, elinewidth=0.6, alpha=0.6)
    axis.scatter(
        x,
        y,
        s=[4 + 36 * entry.share for entry in bins],
        marker=style.mpl_marker,
        facecolors=style.colour if before else "white",
        edgecolors=style.colour,
        linewidths=0.7,
        zorder=3,
        label=f"{'before' if before else 'after'} temperature scaling",
    )
