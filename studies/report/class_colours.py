"""Colours of classes in maps of features: ten that people with colour-vision deficiencies tell apart, then from the beginning."""

from __future__ import annotations

from typing import Final

# Petroff, Accessible color sequences for data visualization, 2021: the sequence of ten.
_COLOURS: Final = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd")
MOST: Final = len(_COLOURS)  # classes with a colour of their own


def class_colour(place: int) -> str:
    """Of the class in this place, as #rrggbb."""
    return _COLOURS[place % MOST]
