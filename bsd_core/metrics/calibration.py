"""Calibration errors, reliability bins and temperature scaling.

N images, K classes, B bins. Confidence is the largest probability of a row. Equal-width bins are those of
`bin_of`, (low, high]. Results are float64 on the input's device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bsd_core.metrics.binning import bin_of, check_bins, confidence_and_hits
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
    check_bins(n_bins)
    probs, targets = check_probs(probs, targets)
    confidence, hits = confidence_and_hits(probs, targets)
    return _summarise(bin_of(confidence, n_bins), confidence, hits, n_bins)


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


def root_mean_square_calibration_error(probs: Tensor, targets: Tensor, *, n_bins: int = 15) -> Tensor:
    """Top-label L2 calibration error with equal-width bins, in [0, 1]: sqrt(sum_b (n_b / N) (accuracy_b - confidence_b)^2).

    Between `expected_calibration_error` and `maximum_calibration_error`; it grows with few images a bin, `debiased_calibration_error`
    does not. Arguments, errors and bins as in `expected_calibration_error`. Reference: Hendrycks et al., ICLR 2019.
    """
    bins = reliability_bins(probs, targets, n_bins=n_bins)
    return (bins.shares * bins.gaps.square()).sum().sqrt()


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
    bins = _equal_mass_bins(probs, targets, n_bins)
    return (bins.shares * bins.gaps).sum()


def debiased_calibration_error(probs: Tensor, targets: Tensor, *, n_bins: int = 15) -> Tensor:
    """Top-label L2 calibration error whose square is debiased, with bins of equal mass, in [0, 1].

    sqrt(max(0, sum_b (n_b / N) ((accuracy_b - confidence_b)^2 - accuracy_b (1 - accuracy_b) / (n_b - 1)))): from each squared gap goes
    the unbiased estimate of the variance of its accuracy, which is what the plug-in square overstates on average. The sum can be negative
    for a well calibrated network; it then counts as 0, as in the authors' code. A bin of one image has no variance and adds 0.

    Args:
        probs: (N, K), rows sum to 1.
        targets: (N,) int64.
        n_bins: B >= 1, cut as in `adaptive_calibration_error`.

    Raises:
        ValueError: `n_bins` < 1, or see `check_probs`.

    References:
        Kumar et al., NeurIPS 2019 (`get_calibration_error(p=2, debias=True, mode="top-label")`). Equal without ties; theirs keeps
        equal confidences in one bin, and makes one bin of each value where there are few.
    """
    bins = _equal_mass_bins(probs, targets, n_bins)
    many = bins.count > 1
    share, gap, accuracy, count = bins.shares[many], bins.gaps[many], bins.accuracy[many], bins.count[many]
    return (share * (gap.square() - accuracy * (1 - accuracy) / (count - 1))).sum().clamp_min(0).sqrt()


def _equal_mass_bins(probs: Tensor, targets: Tensor, n_bins: int) -> ReliabilityBins:
    check_bins(n_bins)
    confidence, hits = confidence_and_hits(*check_probs(probs, targets))
    order = torch.sort(confidence, stable=True).indices
    sizes = torch.full((n_bins,), len(order) // n_bins)
    sizes[: len(order) % n_bins] += 1
    groups = torch.repeat_interleave(torch.arange(n_bins), sizes).to(order.device)
    return _summarise(groups, confidence[order], hits[order], n_bins)


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
    check_bins(n_bins)
    probs, targets = check_probs(probs, targets)
    n, n_classes = probs.shape
    cells = bin_of(probs, n_bins).add_(n_bins * torch.arange(n_classes, device=probs.device))  # (N, K)
    # n_b |freq - mean p| is |sum of hits - sum of p| in each (class, bin) cell.
    mass = torch.bincount(cells.reshape(-1), weights=probs.reshape(-1), minlength=n_classes * n_bins)
    hits = torch.bincount(cells.gather(1, targets[:, None])[:, 0], minlength=n_classes * n_bins)
    return (hits - mass).abs().sum() / (n * n_classes)


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """The T > 0 that minimises the NLL of softmax(logits / T).

    In s = 1 / T the NLL is convex: its slope mean_i (E_p[z] - z_y) changes sign once and rises at the rate mean_i Var_p[z], with p the
    softmax of s z. Newton's method on log s finds the sign change; where a step leaves the bracket or is not half of the last one, the
    bracket is halved instead, so it ends whatever the rounding.
    T is kept in [1e-3, 1e3]: logits that are all right (best T is 0) or no better than chance (best T is infinite) give a bound.

    Args:
        logits: (N, K), held-out, never the ones T is judged on.
        targets: (N,) int64.

    Raises:
        ValueError: see `check_logits`.

    References:
        Guo et al., ICML 2017; their LBFGS stops slightly before the minimum.
    """
    logits, targets = check_logits(logits, targets)
    logits = logits - logits.amax(1, keepdim=True)  # nothing overflows, and nothing cancels where one class has it all
    given = logits.gather(1, targets[:, None]).mean()
    low, high = math.log(1e-3), math.log(1e3)
    if _slope_and_rate(logits, given, low)[0] >= 0:
        return math.exp(-low)
    if _slope_and_rate(logits, given, high)[0] <= 0:
        return math.exp(-high)
    at, step = 0.0, math.inf
    while abs(step) > 1e-9:  # the step after this one would be of the order of its square
        slope, rate = _slope_and_rate(logits, given, at)
        low, high = (at, high) if slope < 0 else (low, at)
        newton = -slope / rate if rate > 0 else math.inf
        useful = low <= at + newton <= high and abs(newton) < abs(step) / 2
        step = newton if useful else (low + high) / 2 - at
        at += step
    return math.exp(-at)


def _slope_and_rate(logits: Tensor, given: Tensor, log_scale: float) -> tuple[float, float]:
    """First derivative of the NLL of softmax(s z) by s, and its derivative by log s; rows of `logits` have maximum 0."""
    scale = math.exp(log_scale)
    mean_sum, variance_sum = torch.zeros_like(given), torch.zeros_like(given)
    for part in torch.split(logits, max(1, 2**16 // logits.shape[1])):  # stays in cache: a third of the time of the whole at once
        weights = (part * scale).exp_()
        total = weights.sum(1)
        weights.mul_(part)
        mean = weights.sum(1) / total
        mean_sum += mean.sum()
        variance_sum += (weights.mul_(part).sum(1) / total - mean.square()).sum()
    slope, rate = torch.stack([mean_sum / len(logits) - given, scale * variance_sum / len(logits)]).tolist()
    return slope, rate
