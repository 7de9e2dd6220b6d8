"""Comparisons of two methods on the same replicates (training seed and noisy labels) and the same images.

The difference of two methods moves with the seeds and with the images. With D_s the difference of replicate s on all images and D_rs that
on resample r of the images, its variance is put together from three parts, as in the analysis of variance of replicates x images:

    seeds   = var_s(D_s) / S           what fresh seeds change, on these images
    images  = var_r(mean_s D_rs)       what other images change, for these seeds
    shared  = sum_s var_r(D_rs - mean_s D_rs) / ((S - 1) S)     the chance of single images in single trainings, which both hold

    variance = shared + max(0, seeds - shared) + max(0, images - shared)

`seeds` rests on S - 1 degrees of freedom and the rest on N - 1, so Student's t takes Satterthwaite's number between them.

Of equal methods, this calls 4 to 7 % different in accuracy at a level of 5 %, and 1.5 to 6 % in ECE (simulated with 5 seeds, 400 to 10,000
images, and chance mostly of seeds, mostly of images, or both). With 2 seeds it is 1 % and less: two seeds can tell little. Two simpler ways
were left for it: drawing replicates and images together counts `shared` three times (Owen 2007) and calls 0 to 4 % different; a t test
over the seeds forgets the images and calls 4 to 29 % different.

References:
    Satterthwaite, Biometrics Bulletin 1946; Owen, The pigeonhole bootstrap, Annals of Applied Statistics 2007.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from studies.statistics.resampling import Float64, Resampled

Verdict = Literal["better", "worse", "not distinguishable"]

_ROUNDING = 1e-12  # what is below this share of the values is their rounding


@dataclass(frozen=True)
class Comparison:
    """Method a minus method b in one metric.

    Attributes:
        difference: mean over the shared replicates on all images; None without one.
        standard_error: of the difference.
        low: lower end of its interval.
        high: upper end.
        p_value: two-sided, of no difference.
        degrees_of_freedom: of Student's t behind the interval and the p-value.
        n_replicates: replicates that both have.
        reason: why there is no p-value, else None. Where it is given, standard error, interval and p-value are None.
    """

    difference: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    p_value: float | None
    degrees_of_freedom: float | None
    n_replicates: int
    reason: str | None = None


def compare(a: Resampled, b: Resampled, *, confidence_level: float = 0.95) -> Comparison:
    """Compare one metric of two methods, over fresh seeds and other images.

    Args:
        a: of one `Resampler`, the same metric as `b`. Replicates that only one of them has are left out.
        b: the other method.
        confidence_level: in (0, 1).

    Raises:
        ValueError: resamples of different images, or `confidence_level` out of range.
    """
    if a.n_images != b.n_images or len(a.resamples) != len(b.resamples):
        raise ValueError(
            f"Both must come from one `Resampler`, but got {len(a.resamples)} resamples of {a.n_images} images "
            f"and {len(b.resamples)} of {b.n_images}."
        )
    shared = tuple(number for number in a.numbers if number in b.numbers)
    a, b = a.of(shared), b.of(shared)
    differences = a.values - b.values
    if len(shared) < 2:
        return _of_too_few(differences)
    variance, degrees_of_freedom = _variance(differences, a.resamples - b.resamples, a.n_images)
    scale = max(np.abs(a.values).max(), np.abs(b.values).max())
    return _student(differences, variance, degrees_of_freedom, scale=scale, confidence_level=confidence_level)


def _variance(differences: Float64, resamples: Float64, n_images: int) -> tuple[float, float]:
    """Variance of the mean of (S,) differences, given (R, S) of resampled images, and its degrees of freedom."""
    n = len(differences)
    means = resamples.mean(1)
    shared = float((resamples - means[:, None]).var(0, ddof=1).sum()) / ((n - 1) * n)
    seeds = max(float(differences.var(ddof=1)) / n, shared)
    images = max(float(means.var(ddof=1)) - shared, 0.0)
    variance = seeds + images
    if variance == 0:
        return 0.0, float(n - 1)
    return variance, 1 / ((seeds / variance) ** 2 / (n - 1) + (images / variance) ** 2 / (n_images - 1))


def compare_means(values_a: Sequence[float | None], values_b: Sequence[float | None], *, confidence_level: float = 0.95) -> Comparison:
    """Compare a metric that is known for each replicate but not for each image: a paired t test over the seeds.

    It takes the images as given, and so says nothing about other images.

    Args:
        values_a: (S,) by replicate, in the order of `values_b`; a pair with None, NaN or infinity is left out.
        values_b: (S,) of the other method.
        confidence_level: in (0, 1).

    Raises:
        ValueError: lengths differ, or `confidence_level` out of range.
    """
    if len(values_a) != len(values_b):
        raise ValueError(f"Expected values of the same replicates, but got {len(values_a)} and {len(values_b)}.")
    a, b = (np.array([math.nan if value is None else value for value in values], dtype=np.float64) for values in (values_a, values_b))
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    differences, n = a - b, len(a)
    if n < 2:
        return _of_too_few(differences)
    scale = max(np.abs(a).max(), np.abs(b).max())
    return _student(differences, float(differences.var(ddof=1)) / n, float(n - 1), scale=scale, confidence_level=confidence_level)


def _of_too_few(differences: Float64) -> Comparison:
    n = len(differences)
    reason = "The methods share no replicate." if n == 0 else "One replicate has no spread over seeds: confirm with 2 seeds or more."
    return Comparison(float(differences[0]) if n else None, None, None, None, None, None, n, reason)


def _student(differences: Float64, variance: float, degrees_of_freedom: float, *, scale: float, confidence_level: float) -> Comparison:
    """Student's t of a mean difference; `scale` is the size of the values that were subtracted."""
    if not 0 < confidence_level < 1:
        raise ValueError(f"`0 < confidence_level < 1` must hold, but got {confidence_level=}.")
    n, difference = len(differences), float(differences.mean())
    if math.sqrt(variance) <= _ROUNDING * scale:
        if abs(difference) <= _ROUNDING * scale:
            return Comparison(0.0, 0.0, 0.0, 0.0, 1.0, degrees_of_freedom, n)
        reason = f"All {n} replicates differ by the same amount, so its error cannot be told."
        return Comparison(difference, None, None, None, None, None, n, reason)
    error = math.sqrt(variance)
    half = float(stats.t.isf((1 - confidence_level) / 2, degrees_of_freedom)) * error
    p_value = min(1.0, 2 * float(stats.t.sf(abs(difference) / error, degrees_of_freedom)))
    return Comparison(difference, error, difference - half, difference + half, p_value, degrees_of_freedom, n)


def verdict(comparison: Comparison, holm_p: float | None, *, higher_is_better: bool, level: float = 0.05) -> Verdict:
    """What a comparison says of method a, given its p-value after Holm's correction.

    "not distinguishable" covers both a difference within noise and a comparison that could not be made; the latter has a `reason`.
    """
    if holm_p is None or holm_p >= level or not comparison.difference:
        return "not distinguishable"
    return "better" if (comparison.difference > 0) == higher_is_better else "worse"
