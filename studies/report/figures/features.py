"""Maps of features for paper."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from studies.report.class_colours import MOST, class_colour
from studies.report.figures.panels import shared_legend
from studies.report.infos.features import FeaturesInfo
from studies.report.section import Styles

_COLUMNS: Final = 4


def draw_features(info: FeaturesInfo, styles: Styles) -> Any:
    """A panel a map, row by row, condition after condition; a legend up to ten classes.

    Returns:
        A matplotlib Figure.
    """
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, len(info.maps))
    rows = -(-len(info.maps) // columns)
    figure = Figure(figsize=(7.0, 2.1 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, one in zip(axes, info.maps, strict=False):
        places = np.searchsorted(info.classes, one.targets)
        for number in np.unique(places % MOST).tolist():
            own = places % MOST == number
            label = f"class {info.classes[number]}" if len(info.classes) <= MOST else None
            colour = class_colour(number)
            axis.scatter(one.places[own, 0], one.places[own, 1], s=1.5, color=colour, linewidths=0, label=label, rasterized=True)
        axis.set_aspect("equal", adjustable="datalim")
        axis.set_title("\n".join([one.method, one.condition, ", ".join(one.quality)]), fontsize=6, loc="left", parse_math=False)
    shared_legend(figure)
    for legend in figure.legends:
        for handle in legend.findobj(PathCollection):
            handle.set_sizes([16])
    return figure
