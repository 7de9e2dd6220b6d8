"""Many comparisons at once: Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values: rejecting those below a level keeps the chance of any false rejection in the family below that level.

    With m p-values sorted upwards, the i-th (from 0) becomes the largest of (m - j) p_j over j <= i, at most 1. Nothing is assumed of
    how the comparisons depend on each other.

    Args:
        p_values: of one family of comparisons; None or NaN where there was no comparison, which does not count as a member.

    Returns:
        One value for each given, in their order; None where there was no comparison.

    Raises:
        ValueError: a p-value outside [0, 1].

    References:
        Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 1979.
    """
    known = {place: p for place, p in enumerate(p_values) if p is not None and not math.isnan(p)}
    for p in known.values():
        if not 0 <= p <= 1:
            raise ValueError(f"`0 <= p <= 1` must hold for a p-value, but got {p}.")
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(known, key=known.__getitem__)):
        largest = max(largest, min(1.0, (len(known) - rank) * known[place]))
        adjusted[place] = largest
    return adjusted
