"""Two or more pieces of work timed in turns, so that a machine whose speed drifts drifts for all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """How many times as long one work takes as another: quartiles over rounds."""

    median: float
    low: float
    high: float


def seconds_by_round(works: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, list[float]]:
    """Seconds of each work in each of `rounds` rounds, after one that warms up; every other round runs them backwards."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for index in range(rounds + 1):
        for name in list(works)[:: 1 if index % 2 else -1]:
            started = time.perf_counter()
            works[name]()
            if index:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(numerator: list[float], denominator: list[float]) -> Ratio:
    """Quartiles of numerator / denominator, round by round."""
    low, median, high = statistics.quantiles([a / b for a, b in zip(numerator, denominator, strict=True)], n=4)
    return Ratio(median, low, high)
