"""Calibration errors, reliability bins and temperature scaling.

N images, K classes, B bins. Confidence is the largest probability of a row. Equal-width bins are (low, high] with the edges of
`numpy.linspace(0, 1, B + 1)`; the first also holds 0. Results are float64 on the input's device.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bsd_core.metrics.inputs import check_logits, check_probs


@dataclass(frozen=True)
class ReliabilityBins:
    """What a reliability diagram shows.

    Attributes:
        count: (B,) images in each bin.
        mean_confidence: (B,) mean confidence, NaN in an empty bin.
        accuracy: (B,) share of right predictions, NaN in an empty bin.
    """

    count: Tensor
    mean_confidence: Tensor
    accuracy: Tensor

    @property
    def gaps(self) -> Tensor:
        """(B,) |accuracy - confidence|, 0 in an empty bin."""
        return (self.accuracy - self.mean_confidence).abs().nan_to_num(0.0)

    @property
    def shares(self) -> Tensor:
        """(B,) n_b / N."""
        return self.count / self.count.sum()


def _check_bins(n_bins: int) -> None:
    if n_bins < 1:
        raise ValueError(f"`n_bins >= 1` must hold, but got n_bins={n_bins}.")


def _bin_of(values: Tensor, n_bins: int) -> Tensor:
    """Equal-width bin of each value in [0, 1]; a value just above 1 by rounding belongs to the last."""
    inner = torch.from_numpy(np.linspace(0.0, 1.0, n_bins + 1)[1:-1]).to(values.device)
    return torch.bucketize(values, inner)


def _confidence_and_hits(probs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    confidence, predicted = probs.max(1)
    return confidence, (predicted == targets).double()


def _summarise(bins: Tensor, confidence: Tensor, hits: Tensor, n_bins: int) -> ReliabilityBins:
    count = torch.bincount(bins, minlength=n_bins).double()
    mean_confidence = torch.bincount(bins, weights=confidence, minlength=n_bins) / count
    return ReliabilityBins(count, mean_confidence, torch.bincount(bins, weights=hits, minlength=n_bins) / count)


def reliability_bins(probs: Tensor, targets: Tensor, *, n_bins: int = 15) -> ReliabilityBins:
    """Count, mean confidence and accuracy of each equal-width confidence bin.

    Args:
        probs: (N, K), rows sum to 1.
        targets: (N,) int64.
        n_bins: B >= 1.

    Raises:
        ValueError: `n_bins` < 1, or see `check_probs`.
    """
    _check_bins(n_bins)
    probs, targets = check_probs(probs, targets)
    confidence, hits = _confidence_and_hits(probs, targets)
    return _summarise(_bin_of(confidence, n_bins), confidence, hits, n_bins)


def expected_calibration_error(probs: Tensor, targets: Tensor, *, n_bins: int = 15) -> Tensor:
    """Top-label calibration error with equal-width bins, in [0, 1]: sum_b (n_b / N) |accuracy_b - confidence_b|.

    Args:
        probs: (N, K), rows sum to 1. Pass softmax outputs, not logits.
        targets: (N,) int64.
        n_bins: B >= 1.

    Returns:
        Float64 scalar. Empty bins add 0.

    Raises:
        ValueError: `n_bins` < 1, or see `check_probs`.

    References:
        Naeini et al., AAAI 2015; Guo et al., ICML 2017, whose (low, high] bins these are; libraries with [low, high) bins differ
        where a confidence falls on an edge.
    """
    bins = reliability_bins(probs, targets, n_bins=n_bins)
    return (bins.shares * bins.gaps).sum()


def maximum_calibration_error(probs: Tensor, targets: Tensor, *, n_bins: int = 15) -> Tensor:
    """The largest |accuracy_b - confidence_b| over the non-empty equal-width bins, in [0, 1].

    Arguments, errors and bins as in `expected_calibration_error`. Reference: Naeini et al., AAAI 2015.
    """
    return reliability_bins(probs, targets, n_bins=n_bins).gaps.max()


def adaptive_calibration_error(probs: Tensor, targets: Tensor, *, n_bins: int = 15) -> Tensor:
    """Top-label calibration error with bins of equal mass, in [0, 1].

    Confidences are sorted (stably) and cut into B contiguous groups whose sizes differ by at most one, the first ones larger, as
    `numpy.array_split` does; so no image is lost and equal confidences may be parted by their order.

    Args:
        probs: (N, K), rows sum to 1.
        targets: (N,) int64.
        n_bins: B >= 1; with fewer images than bins the rest stay empty.

    Raises:
        ValueError: `n_bins` < 1, or see `check_probs`.

    References:
        Nguyen & O'Connor, EMNLP 2015. Mukhoti et al. 2020 interpolate edges instead, which drops the least confident image.
    """
    _check_bins(n_bins)
    probs, targets = check_probs(probs, targets)
    confidence, hits = _confidence_and_hits(probs, targets)
    order = torch.sort(confidence, stable=True).indices
    sizes = torch.full((n_bins,), len(order) // n_bins)
    sizes[: len(order) % n_bins] += 1
    groups = torch.repeat_interleave(torch.arange(n_bins), sizes).to(order.device)
    bins = _summarise(groups, confidence[order], hits[order], n_bins)
    return (bins.shares * bins.gaps).sum()


def classwise_calibration_error(probs: Tensor, targets: Tensor, *, n_bins: int = 15) -> Tensor:
    """Mean over the K classes of the binned error between the frequency of class k and its predicted probability, in [0, 1].

    All N images enter for every class, in the equal-width bins of p_k.

    Args:
        probs: (N, K), rows sum to 1; K counts classes without a sample too.
        targets: (N,) int64.
        n_bins: B >= 1.

    Raises:
        ValueError: `n_bins` < 1, or see `check_probs`.

    References:
        Kull et al., NeurIPS 2019 ("static calibration error" in Nixon et al. 2019).
    """
    _check_bins(n_bins)
    probs, targets = check_probs(probs, targets)
    n, n_classes = probs.shape
    cells = (_bin_of(probs, n_bins) + n_bins * torch.arange(n_classes, device=probs.device)).reshape(-1)  # (N * K,)
    # n_b |freq - mean p| is |sum of hits - sum of p| in each (class, bin) cell.
    hits = torch.zeros_like(probs).scatter_(1, targets[:, None], 1.0)
    difference = torch.bincount(cells, weights=(hits - probs).reshape(-1), minlength=n_classes * n_bins)
    return difference.abs().sum() / (n * n_classes)


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """The T > 0 that minimises the NLL of softmax(logits / T).

    In s = 1 / T the NLL is convex, so its derivative mean_i sum_k z_ik (p_ik(s) - 1[k = y]) changes sign once and bisection on log s is
    exact. T is kept in [1e-3, 1e3]: logits that are all right (best T is 0) or no better than chance (best T is infinite) end at a bound.

    Args:
        logits: (N, K), held-out, never the ones T is judged on.
        targets: (N,) int64.

    Raises:
        ValueError: see `check_logits`.

    References:
        Guo et al., ICML 2017; their LBFGS stops slightly before the minimum.
    """
    logits, targets = check_logits(logits, targets)
    given = logits.gather(1, targets[:, None])[:, 0].mean()

    def slope(log_scale: float) -> float:
        probs = torch.softmax(logits * float(np.exp(log_scale)), dim=1)
        return float((logits * probs).sum(1).mean() - given)

    low, high = float(np.log(1e-3)), float(np.log(1e3))
    for _ in range(60):
        middle = (low + high) / 2
        if slope(middle) < 0:
            low = middle
        else:
            high = middle
    return float(np.exp(-(low + high) / 2))
