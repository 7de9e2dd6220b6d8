"""The fronts as a picture of characters, for terminals that are wide enough: accuracy against calibration error, a condition at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.text import Text

from studies.front import FrontInfo
from studies.objectives import objective_titles
from studies.report.palette import styles

Numbers = Mapping[str, Any]  # parts of the document

LEAST_WIDTH: Final = 100
_HEIGHT: Final = 18
_SHAPES: Final = ("○●", "□■", "△▲", "◇◆", "▽▼", "☆★", "◁◀", "▷▶")  # of a method in the search, and confirmed
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"

Points = list[tuple[float, float]]  # accuracy and calibration error, fractions


@dataclass(frozen=True)
class MethodPoints:
    """One method in one condition.

    Attributes:
        searched: its front in the search, by validation values.
        confirmed: its confirmed settings, means over fresh seeds on test images.
    """

    method: str
    searched: Points
    confirmed: Points


def collect_scatter(info: FrontInfo, document: Numbers) -> dict[str, list[MethodPoints]]:
    """What is drawn in each condition; conditions with fewer than two points are left out.

    Args:
        info: the fronts.
        document: of `collect_statistics`; its confirmed settings are drawn in the search's objectives.
    """
    accuracy, ece = (name.replace("val_", "test_", 1) for name in info.objectives)
    found: dict[str, list[MethodPoints]] = {}
    for condition, arms in info.conditions.items():
        members = []
        for arm in arms:
            settings = [point for point in document["confirmed"] if (point["condition"], point["method"]) == (condition, arm.method)]
            means = [(point["metrics"][accuracy]["mean"], point["metrics"][ece]["mean"]) for point in settings]
            members.append(MethodPoints(arm.method, _known([point.chosen_by for point in arm.front]), _known(means)))
        if sum(len(points.searched) + len(points.confirmed) for points in members) >= 2:
            found[condition] = members
    return found


def _known(points: list[tuple[float | None, float | None]] | Points) -> Points:
    return [(x, y) for x, y in points if x is not None and y is not None and math.isfinite(x) and math.isfinite(y)]


def fits(console: Console) -> bool:
    """Whether a picture can be shown: on a terminal that is wide enough and knows more characters than ASCII."""
    return console.is_terminal and not console.is_dumb_terminal and console.width >= LEAST_WIDTH and console.encoding.startswith("utf")


def render_scatter(info: FrontInfo, document: Numbers, *, width: int = LEAST_WIDTH) -> RenderableType | None:
    """A picture for each condition, each with its legend; None where there is nothing to draw.

    Args:
        info, document: as in `collect_scatter`.
        width: in columns.
    """
    conditions = collect_scatter(info, document)
    if not conditions:
        return None
    methods = list(dict.fromkeys(arm.method for arms in info.conditions.values() for arm in arms))
    shapes = {method: _SHAPES[place] if place < len(_SHAPES) else _letters(place) for place, method in enumerate(methods)}
    colours = {shape: style.colour for method, style in styles(methods).items() for shape in shapes[method]}
    x, y = objective_titles(info.objectives)
    parts: list[RenderableType] = []
    for condition, members in conditions.items():
        legend = Text("  ")
        for points in members:
            kinds = [
                (shape, found) for shape, found in zip(shapes[points.method], (points.searched, points.confirmed), strict=True) if found
            ]
            for shape, _ in kinds:
                legend.append(shape, style=colours[shape])
            legend.append(f" {points.method}   " if kinds else "")
        drawn = _coloured(_draw(members, shapes, width), colours)
        parts += [
            Text(f"condition {condition}: {x} % to the right, {y} % upwards; best is bottom right", style="bold"),
            drawn,
            legend,
            Text(),
        ]
    confirmed = any(points.confirmed for members in conditions.values() for points in members)
    caption = f"open: each method's front in the search, by {info.validation_labels} validation labels, one training a point"
    caption += "; filled: confirmed, means over fresh seeds on test images" if confirmed else ""
    return Group(*parts, Text(f"{caption}. What lies on the same place hides what was drawn before.", style="dim"))


def _letters(place: int) -> str:
    letter = _LETTERS[(place - len(_SHAPES)) % len(_LETTERS)]
    return letter + letter.upper()


def _draw(members: list[MethodPoints], shapes: Mapping[str, str], width: int) -> str:
    """Search points first, so that confirmed ones lie on them."""
    from plotext import figure, uncolorize

    figure.clear()
    figure.theme("colorless")
    figure.plot_size(width, _HEIGHT)
    for kind in (0, 1):
        for points in members:
            if found := (points.searched, points.confirmed)[kind]:
                accuracies, eces = ([100 * value for value in values] for values in zip(*found, strict=True))
                figure.draw(figure.signal(accuracies, eces, marker=shapes[points.method][kind]))
    drawn: str = uncolorize(str(figure.build()))
    figure.clear()
    return drawn


def _coloured(drawn: str, colours: Mapping[str, str]) -> Text:
    text = Text(no_wrap=True)
    for line in drawn.rstrip("\n").splitlines():
        for character in line.rstrip():
            text.append(character, style=colours.get(character, ""))
        text.append("\n")
    text.right_crop(1)
    return text
