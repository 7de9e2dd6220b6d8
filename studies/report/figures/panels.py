"""What figures with a panel a condition have in common."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from studies.report.infos.plane_view import View

_LABEL: Final = 34  # letters that fit below a panel
_Drawn = TypeVar("_Drawn")


def condition_panels(conditions: Sequence[str], *, x: str, y: str) -> tuple[Any, list[Any]]:
    """A figure with a panel a condition, at most three a row.

    Args:
        conditions: shown as titles, as they are.
        x, y: titles of the outer axes, with units.

    Returns:
        A matplotlib Figure, and its Axes in the order of the conditions.
    """
    from matplotlib.figure import Figure

    n_panels = max(1, len(conditions))
    n_columns = min(3, n_panels)
    n_rows = math.ceil(n_panels / n_columns)
    figure = Figure(figsize=(1.2 + 3.4 * n_columns, 1.0 + 3.1 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel().tolist()
    for axis in axes[len(conditions) :]:
        axis.set_visible(False)
    for index, (axis, condition) in enumerate(zip(axes, conditions, strict=False)):
        plain_axis(axis, f"condition {condition}")
        if index % n_columns == 0:
            axis.set_ylabel(_folded(y))
        if index + n_columns >= len(conditions):
            axis.set_xlabel(_folded(x))
    return figure, axes[: len(conditions)]


def plane_panels(titles: tuple[str, str], conditions: Mapping[str, _Drawn]) -> tuple[Any, list[tuple[Any, str, _Drawn]]]:
    """A figure with the plane of ECE and accuracy in a panel a condition.

    Args:
        titles: of accuracy and of ECE.
        conditions: what is drawn, by name.

    Returns:
        A matplotlib Figure; and for each condition its Axes, its name and what is drawn in it.
    """
    accuracy, ece = titles
    figure, axes = condition_panels(list(conditions), x=ece, y=accuracy)
    return figure, [(axis, *item) for axis, item in zip(axes, conditions.items(), strict=True)]


def set_view(axis: Any, view: View) -> None:
    """The part of the plane that a panel shows, in %."""
    axis.set_xlim(*(100 * end for end in view.ece))
    axis.set_ylim(*(100 * end for end in view.accuracy))


def _folded(title: str) -> str:
    """What stands in brackets below the rest, and no line longer than a panel."""
    return "\n".join(textwrap.fill(line, _LABEL) for line in title.replace(" (", "\n(", 1).splitlines())


def plain_axis(axis: Any, title: str) -> None:
    """A title on the left, a faint grid, no outer lines above and on the right."""
    axis.set_title(title, fontsize=10, loc="left", parse_math=False)
    axis.grid(visible=True, alpha=0.25, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)


def shared_legend(figure: Any) -> None:
    """One legend below all panels, each label once; text is shown as it is."""
    labels = {label: handle for axis in figure.axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    if not labels:
        return
    n_columns = max(2, int(figure.get_figwidth() / 1.9))
    legend = figure.legend(
        labels.values(), labels.keys(), loc="outside lower center", ncols=min(n_columns, len(labels)), frameon=False, fontsize=9
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def heading(figure: Any, title: str) -> None:
    """A title folded to the figure's width, shown as it is."""
    lines = textwrap.wrap(title, width=int(9 * figure.get_figwidth()))
    figure.suptitle("\n".join(lines), fontsize=11, x=0.01, ha="left", parse_math=False)
