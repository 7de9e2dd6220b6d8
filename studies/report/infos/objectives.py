"""What the two objectives of a study are called on the page."""

from __future__ import annotations

from typing import Final

from studies.objectives import short_titles

KINDS: Final = ("accuracy", "ece")


def titles_by_kind(objectives: tuple[str, str]) -> dict[str, str]:
    """The same by `KINDS`."""
    return dict(zip(KINDS, short_titles(objectives), strict=True))
