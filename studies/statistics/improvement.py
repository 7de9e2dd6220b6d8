"""Chance that a run of one method beats a run of another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats


@dataclass(frozen=True)
class Improvement:
    """Chance that a random run of method a beats a random run of method b; all None where one has no run.

    Attributes:
        probability: in [0, 1], 1/2 for methods that do not differ.
        low: lower end of its interval.
        high: upper end.
    """

    probability: float | None
    low: float | None
    high: float | None


def probability_of_improvement(
    values_a: Sequence[float | None], values_b: Sequence[float | None], *, higher_is_better: bool, confidence_level: float = 0.95
) -> Improvement:
    """Share of the pairs of runs in which a is better, a tie counting one half: the Mann-Whitney statistic.

    A run that failed loses against every one that did not, and ties with one that did.

    Args:
        values_a: (S_a,) of each run; None, NaN or infinity of a failed one.
        values_b: (S_b,) likewise; runs are not paired.
        higher_is_better: the direction of the metric.
        confidence_level: in (0, 1).

    Raises:
        ValueError: `confidence_level` out of range.

    References:
        Agarwal et al., Deep reinforcement learning at the edge of the statistical precipice, NeurIPS 2021. Their interval is bootstrapped,
        and of five runs that all beat five others each resample says 1; with normal runs and a true probability of 0.95, it held that
        in 45 % of our simulations. Ours (96 %) is method 5 of Newcombe, Statistics in Medicine 2006, part 2: every probability whose
        own standard error reaches the one found.
    """
    if not 0 < confidence_level < 1:
        raise ValueError(f"`0 < confidence_level < 1` must hold, but got {confidence_level=}.")
    if not values_a or not values_b:
        return Improvement(None, None, None)
    sign = 1 if higher_is_better else -1
    a, b = (np.array([sign * v if v is not None and math.isfinite(v) else -math.inf for v in values]) for values in (values_a, values_b))
    wins, ties = a[:, None] > b, a[:, None] == b  # (S_a, S_b)
    found = float((wins + ties / 2).mean())
    z = float(stats.norm.isf((1 - confidence_level) / 2))

    def beyond(probability: float) -> float:
        """Squared distance to `found`, less that of z standard errors; Hanley & McNeil's variance, as Newcombe symmetrises it."""
        p, q = probability, 1 - probability
        variance = p * q * (1 + ((len(a) + len(b)) / 2 - 1) * (q / (1 + q) + p / (1 + p))) / (len(a) * len(b))
        return float((p - found) ** 2 - z**2 * variance)

    inside = min(max(found, 1e-12), 1 - 1e-12)  # at 0 and 1 the variance is 0: a root that is not looked for
    low = 0.0 if found == 0 else float(optimize.brentq(beyond, 0.0, inside))
    high = 1.0 if found == 1 else float(optimize.brentq(beyond, inside, 1.0))
    return Improvement(found, low, high)
