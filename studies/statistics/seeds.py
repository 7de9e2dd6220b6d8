"""One metric over the fresh seeds of one setting: mean, spread and interval."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mean, stdev

from scipy import stats


@dataclass(frozen=True)
class SeedSummary:
    """A metric over seeds; a number is None where the seeds are too few to know it.

    Attributes:
        n: seeds with a value.
        mean: None without seeds.
        spread: sample standard deviation (divisor n - 1), None with fewer than two seeds.
        low: lower end of the interval of the mean, None with fewer than two seeds.
        high: upper end.
        n_missing: seeds without a value: a training that failed, or a metric that was not measured.
    """

    n: int
    mean: float | None
    spread: float | None
    low: float | None
    high: float | None
    n_missing: int = 0


def summarise(values: Iterable[float | None], *, confidence_level: float = 0.95) -> SeedSummary:
    """Mean over seeds with Student's t interval.

    The interval speaks of the mean over all seeds that might have been drawn, on the same images. It may reach outside a metric's range,
    e.g. above an accuracy of 1, where the seeds are few; it is not cut, so that its width stays visible.

    Args:
        values: one for each seed; None, NaN and infinity are left out and counted.
        confidence_level: in (0, 1).

    Raises:
        ValueError: `confidence_level` out of range.
    """
    if not 0 < confidence_level < 1:
        raise ValueError(f"`0 < confidence_level < 1` must hold, but got {confidence_level=}.")
    given = list(values)
    known = [float(value) for value in given if value is not None and math.isfinite(value)]
    n, n_missing = len(known), len(given) - len(known)
    if n < 2:
        return SeedSummary(n, known[0] if known else None, None, None, None, n_missing)
    centre, spread = mean(known), stdev(known)
    half = float(stats.t.isf((1 - confidence_level) / 2, n - 1)) * spread / math.sqrt(n)
    return SeedSummary(n, centre, spread, centre - half, centre + half, n_missing)
