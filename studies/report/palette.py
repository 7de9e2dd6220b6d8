"""Colours, markers and lines of methods, the same in every chart: readable in light and dark, in greyscale and by colour-blind people."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

# Okabe & Ito's colours without yellow, grey in place of black, ordered so that neighbours also differ in lightness.
_COLOURS: Final = ("#0072B2", "#E69F00", "#7F7F7F", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_MARKERS: Final = (
    ("circle", "o"),
    ("square", "s"),
    ("triangle-up", "^"),
    ("diamond", "D"),
    ("triangle-down", "v"),
    ("cross", "P"),
    ("x", "X"),
    ("star", "*"),
)  # Plotly's names and matplotlib's
_LINES: Final = (("solid", "-"), ("dash", "--"), ("dashdot", "-."), ("dot", ":"))
# Methods that most studies compare look the same in all of them; the plain one is grey.
_PLACES: Final = {
    name: place for place, name in enumerate(("bsd", "cs_kd", "cross_entropy", "label_smoothing", "ps_kd", "elr", "bsd_contrastive"))
}


@dataclass(frozen=True)
class Style:
    """How one method looks.

    Attributes:
        colour: as #rrggbb.
        marker, line: Plotly's names.
        mpl_marker, mpl_line: matplotlib's.
    """

    colour: str
    marker: str
    mpl_marker: str
    line: str
    mpl_line: str

    def faint(self, alpha: float = 0.3) -> str:
        """The colour, let through, as CSS."""
        red, green, blue = (int(self.colour[at : at + 2], 16) for at in (1, 3, 5))
        return f"rgba({red},{green},{blue},{alpha:g})"


def styles(methods: Iterable[str]) -> dict[str, Style]:
    """A style for each method: its own, or the next that is free. 7 colours and 8 markers turn at different paces: none repeats before 56.

    Returns:
        By method, in the order given.
    """
    names = list(dict.fromkeys(methods))
    taken = {_PLACES[name] for name in names if name in _PLACES}
    free = (place for place in itertools.count() if place not in taken)
    return {name: _style(_PLACES[name] if name in _PLACES else next(free)) for name in names}


def _style(place: int) -> Style:
    (marker, mpl_marker), (line, mpl_line) = _MARKERS[place % len(_MARKERS)], _LINES[place % len(_LINES)]
    return Style(_COLOURS[place % len(_COLOURS)], marker, mpl_marker, line, mpl_line)
