"""Which part of the plane is shown at first: all that matters whole, and not what lies far behind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

Place = tuple[float, float]  # accuracy, ECE


class View(NamedTuple):
    """Ends of the axes, as fractions.

    Attributes:
        ece: left and right end.
        accuracy: lower and upper end.
        n_outside: trials beyond.
    """

    ece: tuple[float, float]
    accuracy: tuple[float, float]
    n_outside: int


def view_of(trials: Sequence[Place], whole: Sequence[Place]) -> View:
    """Axes that show some points whole, and in either objective the better three quarters of the trials.

    Args:
        trials: of the search, all methods of a condition.
        whole: points that must be seen: fronts and confirmed settings.

    Raises:
        ValueError: neither holds a point.
    """
    points = [*trials, *whole]
    if not points:
        raise ValueError("A view needs a point.")
    accuracies, eces = (sorted(place[index] for place in (trials or whole)) for index in (0, 1))
    right = max([place[1] for place in whole] + [eces[int(0.75 * (len(eces) - 1))]])
    bottom = min([place[0] for place in whole] + [accuracies[math.ceil(0.25 * (len(accuracies) - 1))]])
    left, top = min(ece for _, ece in points), max(accuracy for accuracy, _ in points)
    margin_x, margin_y = 0.06 * (right - left) + 0.003, 0.06 * (top - bottom) + 0.003
    ece = (max(-0.003, left - margin_x), right + margin_x)
    accuracy = (bottom - margin_y, min(1.006, top + margin_y))
    return View(ece, accuracy, sum(place[1] > ece[1] or place[0] < accuracy[0] for place in trials))
