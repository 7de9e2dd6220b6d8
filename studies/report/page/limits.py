"""What of a report stands on a page of at most 8 MB; the files beside it have all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

MOST_BYTES: Final = 8_000_000  # of the page
_OTHERS: Final = 200_000  # bytes of headings, captions, style and script
CHARTS: Final = 0.6  # of what Plotly's script and the others leave; tables have the rest, and what charts leave
MOST_ROWS: Final = 500  # of a table; fewer where tables are many or wide
_DIGITS: Final = 5  # significant, of a number in a chart: a screen has no more places


def room(script_bytes: int) -> int:
    """How many bytes charts and tables may have together, beside a script of this size."""
    return max(0, MOST_BYTES - _OTHERS - script_bytes)


def that_fit(sizes: Mapping[str, int], most_bytes: int) -> set[str]:
    """Names of what fits when the largest are left out first.

    Args:
        sizes: in bytes, by name.
        most_bytes: of all together.
    """
    kept = dict(sorted(sizes.items(), key=lambda item: item[1]))
    while sum(kept.values()) > most_bytes:
        kept.popitem()
    return set(kept)


def fair_share(sizes: Sequence[int], most_bytes: int) -> int:
    """The most bytes that each may have so that all fit, where small ones leave the others what they do not need.

    Args:
        sizes: of each, as large as it would be.
        most_bytes: of all together.
    """
    left = most_bytes
    for place, size in enumerate(sorted(sizes)):
        fair = left // (len(sizes) - place)
        if size > fair:
            return fair
        left -= size
    return most_bytes


def rounded(value: Any) -> Any:
    """JSON with its numbers that are not whole rounded."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, Mapping):
        return {name: rounded(part) for name, part in value.items()}
    return [rounded(part) for part in value] if isinstance(value, list | tuple) else value
