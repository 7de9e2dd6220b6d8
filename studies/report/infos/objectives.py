"""What the two objectives of a study are called on the page."""

from __future__ import annotations

from typing import Final

from studies.front import objective_titles

KINDS: Final = ("accuracy", "ece")


def short_titles(objectives: tuple[str, str]) -> list[str]:
    """The two columns in words short enough for the head of a table."""
    return [title.replace("expected calibration error", "ECE") for title in objective_titles(objectives)]


def titles_by_kind(objectives: tuple[str, str]) -> dict[str, str]:
    """The same by `KINDS`."""
    return dict(zip(KINDS, short_titles(objectives), strict=True))
