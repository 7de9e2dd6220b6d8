"""Bins of confidence of several networks together, with intervals: what a reliability diagram shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from studies.statistics.resampling import Float64

N_BINS: Final = 15  # of table reliability
_INNER_EDGES: Final = np.linspace(0.0, 1.0, N_BINS + 1)[1:-1]
_LEVEL: Final = 0.95


@dataclass(frozen=True)
class Bin:
    """One bin of confidence that has images, over all seeds together; fractions.

    Attributes:
        number: 0 to 14.
        share: of all images.
        confidence: their mean.
        accuracy: of them.
        low, high: ends of the interval of the accuracy; None where several networks were tested but one alone has images here.
    """

    number: int
    share: float
    confidence: float
    accuracy: float
    low: float | None
    high: float | None


def bin_sums(confidence: Float64, hit: npt.NDArray[np.bool_]) -> Float64:
    """(3, 15) from (N,) images: their number, and their summed confidence and hits; bins are (low, high], as in table reliability."""
    numbers = np.searchsorted(_INNER_EDGES, confidence, side="left")
    return np.stack([np.bincount(numbers, weights, N_BINS) for weights in (np.ones(len(confidence)), confidence, hit.astype(np.float64))])


def pooled_bins(sums: Float64) -> list[Bin]:
    """The bins that have images, over all networks.

    Args:
        sums: (S, 3, 15) of each network: images, and their summed confidence and hits.
    """
    count, confidence, hits = sums.sum(axis=0)
    total = count.sum()
    return [
        Bin(
            number,
            float(count[number] / total),
            float(confidence[number] / count[number]),
            float(hits[number] / count[number]),
            *accuracy_interval(sums[:, 2, number], sums[:, 0, number]),
        )
        for number in np.flatnonzero(count).tolist()
    ]


def accuracy_interval(hits: Float64, counts: Float64) -> tuple[float | None, float | None]:
    """95 % interval of sum(hits) / sum(counts).

    Of one network, Wilson's interval over images. Of S networks, that of a ratio over seeds, whose counts differ: with r the ratio and
    e_s = hits_s - r counts_s, half = t_{S-1} sqrt(S / (S - 1) sum e_s^2) / sum(counts). It speaks of other seeds on these images, and is
    not cut at 0 and 1.

    Args:
        hits, counts: (S,) of each network, with at least one image together.

    Returns:
        Its ends; None where only one of several networks has images.

    References:
        Wilson, JASA 1927; Cochran, Sampling Techniques, 1977, section 6.4 (the variance of a ratio).
    """
    n, total = len(counts), float(counts.sum())
    ratio = float(hits.sum()) / total
    if n == 1:
        z = float(stats.norm.isf((1 - _LEVEL) / 2))
        centre = (ratio + z**2 / (2 * total)) / (1 + z**2 / total)
        half = z * math.sqrt(ratio * (1 - ratio) / total + z**2 / (4 * total**2)) / (1 + z**2 / total)
        return centre - half, centre + half
    if np.count_nonzero(counts) < 2:
        return None, None
    rest = hits - ratio * counts
    half = float(stats.t.isf((1 - _LEVEL) / 2, n - 1)) * math.sqrt(n / (n - 1) * float((rest**2).sum())) / total
    return ratio - half, ratio + half
