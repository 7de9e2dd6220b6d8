"""Bootstrap intervals: how far a metric would move with another sample of as many images.

Images are drawn with replacement; the network and its training are taken as given, so an interval says nothing about another seed.
`bootstrap_interval` takes any metric. `accuracy_interval` and `ece_interval` give the same numbers faster: both metrics follow from
sums over the drawn images, so a resample is a row of counts and all resamples are one product of matrices.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bsd_core.metrics.binning import bin_of, check_bins, confidence_and_hits
from bsd_core.metrics.inputs import check_probs

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
IntervalMethod = Literal["percentile", "bca", "centred"]

_CELLS = 2**21  # drawn indices held at once: 16 MiB


@dataclass(frozen=True)
class Interval:
    """A metric and its bootstrap interval.

    Attributes:
        value: on the images themselves.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float


def bootstrap_interval(
    probs: Tensor,
    targets: Tensor,
    metric: Callable[[Tensor, Tensor], Tensor],
    *,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int,
    method: IntervalMethod = "percentile",
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """A bootstrap interval of any metric of (probs, targets), through `scipy.stats.bootstrap`.

    Args:
        probs: (N, K), rows sum to 1.
        targets: (N,) int64.
        metric: gives a scalar; it is called once a resample, and for "bca" N times more.
        n_resamples: at least 1; the ends of a 95 % interval want 1000 or more.
        confidence_level: the share of resamples between the ends, in (0, 1).
        seed: equal seeds draw the same images, for every metric of N images.
        method: "percentile"; "centred", the percentile interval moved so that the resamples have the value as their mean, which shows how
            far a biased metric moves around its value; or "bca", which corrects for bias and skewness at first order.
        bounds: least and largest possible value of the metric; a "centred" interval is cut there, the others never reach outside.

    Raises:
        ValueError: N < 2, an option out of range, "bca" where it is undefined because all resamples lie on one side of the value, or
            see `check_probs`.

    References:
        Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13 and 14.
    """
    probs, targets = check_probs(probs, targets)

    def statistic(rows: Int64) -> Float64:
        drawn = torch.tensor(rows, device=probs.device)
        return np.array([float(metric(probs[row], targets[row])) for row in drawn])

    return _interval(
        statistic, len(probs), n_resamples=n_resamples, confidence_level=confidence_level, seed=seed, method=method, bounds=bounds
    )


def accuracy_interval(
    probs: Tensor,
    targets: Tensor,
    *,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int,
    method: IntervalMethod = "percentile",
) -> Interval:
    """`bootstrap_interval` of `accuracy`, all resamples at once; arguments and errors as there."""
    _, hits = confidence_and_hits(*check_probs(probs, targets))
    columns: Float64 = hits[:, None].cpu().numpy()

    def statistic(rows: Int64) -> Float64:
        means: Float64 = _drawn_sums(rows, columns)[:, 0] / rows.shape[1]
        return means

    return _interval(
        statistic, len(columns), n_resamples=n_resamples, confidence_level=confidence_level, seed=seed, method=method, bounds=(0.0, 1.0)
    )


def ece_interval(
    probs: Tensor,
    targets: Tensor,
    *,
    n_bins: int = 15,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int,
    method: IntervalMethod = "percentile",
) -> Interval:
    """`bootstrap_interval` of `expected_calibration_error`, all resamples at once; arguments and errors as there.

    ECE is biased upwards, and a resample adds the same bias once more. So the percentile interval of a well calibrated network lies
    high and can miss its value. "centred" takes the second bias away, and tells where ECE lies with other N images: on well calibrated
    networks its 95 % interval held the mean ECE of N images in 98 % of our simulations, "percentile" in 83 % and "bca", which takes
    away more than that, in 65 %.
    """
    check_bins(n_bins)
    confidence, hits = confidence_and_hits(*check_probs(probs, targets))
    gaps = confidence.new_zeros(len(confidence), n_bins).scatter_(1, bin_of(confidence, n_bins)[:, None], (hits - confidence)[:, None])
    columns: Float64 = gaps.cpu().numpy()  # (N, B); the absolute sums of the columns sum to N ECE

    def statistic(rows: Int64) -> Float64:
        errors: Float64 = np.abs(_drawn_sums(rows, columns)).sum(1) / rows.shape[1]
        return errors

    return _interval(
        statistic, len(columns), n_resamples=n_resamples, confidence_level=confidence_level, seed=seed, method=method, bounds=(0.0, 1.0)
    )


def _drawn_sums(rows: Int64, columns: Float64) -> Float64:
    """(R, S) sums of `columns` (N, S) over the rows drawn, (R, any number) in [0, N)."""
    n = len(columns)
    offsets = n * np.arange(len(rows))[:, None]
    counts = np.bincount((rows + offsets).reshape(-1), minlength=n * len(rows)).reshape(len(rows), n)
    sums: Float64 = counts.astype(np.float64) @ columns
    return sums


def _interval(
    statistic: Callable[[Int64], Float64],
    n: int,
    *,
    n_resamples: int,
    confidence_level: float,
    seed: int,
    method: IntervalMethod,
    bounds: tuple[float, float],
) -> Interval:
    """The interval of a statistic that maps (R, any number) row numbers in [0, n) to (R,) values."""
    from scipy import stats

    if n < 2:
        raise ValueError(f"`N >= 2` must hold to draw other samples, but got N = {n}.")
    if n_resamples < 1:
        raise ValueError(f"`n_resamples >= 1` must hold, but got {n_resamples=}.")
    if not 0 < confidence_level < 1:
        raise ValueError(f"`0 < confidence_level < 1` must hold, but got {confidence_level=}.")
    if method not in ("percentile", "bca", "centred"):
        raise ValueError(f"`method` must be 'percentile', 'bca' or 'centred', but got {method!r}.")

    def of_any_shape(rows: Int64, axis: int) -> Float64:  # axis is the last
        return statistic(rows.reshape(-1, rows.shape[axis])).reshape(rows.shape[:-1])

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # judged below
        result = stats.bootstrap(
            (np.arange(n),),
            of_any_shape,
            n_resamples=n_resamples,
            batch=max(1, _CELLS // n),
            vectorized=True,
            confidence_level=confidence_level,
            method="bca" if method == "bca" else "percentile",
            rng=np.random.default_rng(seed),
        )
    value, resampled = float(statistic(np.arange(n)[None])[0]), result.bootstrap_distribution
    if method == "bca" and not resampled.min() <= value <= resampled.max():
        raise ValueError("All resamples lie on one side of the value, so its bias has no 'bca' correction. Use method='percentile'.")
    low, high = result.confidence_interval
    if resampled.min() == resampled.max():  # a metric that no draw changes, such as an accuracy of 1; 'bca' is 0 / 0 there
        low = high = resampled[0]
    if method == "centred":
        low, high = np.clip(np.array([low, high]) + (value - resampled.mean()), *bounds)
    return Interval(value, float(low), float(high))
