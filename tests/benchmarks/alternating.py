"""Two or more pieces of work timed in turns, so that a machine whose speed drifts drifts for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from bsd_core.bench import Spread


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


def ratio(numerator: list[float], denominator: list[float]) -> Spread:
    """Quartiles of numerator / denominator, round by round."""
    return Spread.of([a / b for a, b in zip(numerator, denominator, strict=True)])
