"""Colours, markers and lines of methods, the same in every chart: readable in light and dark, in greyscale and by colour-blind people."""

from __future__ import annotations

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
    """A style for each method, by its place among them; 7 colours and 8 markers turn at different paces, so none repeats before 56."""
    found = {}
    for index, method in enumerate(dict.fromkeys(methods)):
        (marker, mpl_marker), (line, mpl_line) = _MARKERS[index % len(_MARKERS)], _LINES[index % len(_LINES)]
        found[method] = Style(_COLOURS[index % len(_COLOURS)], marker, mpl_marker, line, mpl_line)
    return found
