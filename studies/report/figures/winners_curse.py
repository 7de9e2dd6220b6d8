"""The search's values against confirmed ones, for paper."""

from __future__ import annotations

from typing import Any

from studies.report.figures.panels import plain_axis, shared_legend
from studies.report.infos.objectives import KINDS
from studies.report.infos.winners_curse import SPLITS, CurseInfo, method_of
from studies.report.section import Styles


def draw_winners_curse(info: CurseInfo, styles: Styles) -> Any:
    """A panel an objective, all conditions together: full marks on test images, open ones on the same images.

    Returns:
        A matplotlib Figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 3.6), layout="constrained")
    for axis, kind in zip(figure.subplots(1, 2), KINDS, strict=True):
        title = info.titles[kind]
        ends: list[float] = []
        for point in sorted(info.points, key=lambda point: list(styles).index(method_of(point))):
            style = styles[method_of(point)]
            for split, images in SPLITS.items():
                gap = point["gaps"][f"{split}_{kind}"]
                if gap["shrinkage"] is None:
                    continue
                x, y = 100 * gap["searched"], 100 * gap["confirmed"]
                ends += [x, y]
                face = style.colour if split == "test" else "none"
                label = f"{method_of(point)}, {images}"
                axis.scatter([x], [y], s=26, marker=style.mpl_marker, facecolors=face, edgecolors=style.colour, linewidths=1, label=label)
        if ends:
            axis.plot([min(ends), max(ends)], [min(ends), max(ends)], color="0.5", linestyle=":", linewidth=1, zorder=0)
        plain_axis(axis, title)
        axis.set_xlabel("in the search, %")
        axis.set_ylabel("with fresh seeds, %")
    shared_legend(figure)
    return figure
