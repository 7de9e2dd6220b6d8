"""Comparisons of two methods on the same replicates (training seed and noisy labels) and the same images.

The difference of two methods moves with the seeds and with the images. With D_s the difference of replicate s on all images and D_rs that
on resample r of the images, its variance is put together from three parts, as in the analysis of variance of replicates x images:

    seeds   = V / S                    what fresh seeds change, on these images
    images  = var_r(mean_s D_rs)       what other images change, for these seeds
    shared  = sum_s var_r(D_rs - mean_s D_rs) / ((S - 1) S)     the chance of single images in single trainings, which both hold

    seeds' = max(seeds, shared),  images' = max(0, images - shared)

Three or five seeds often show too little of their own variance, and the pairs where they do are those that look significant. So V is the
larger of var_s(D_s) and what all methods of the comparison say together: twice the residual variance of value = method + replicate. With k
methods that has (S - 1)(k - 1) degrees of freedom. Each part has an interval by Student's t, with t that quantile of its degrees of freedom
(N - 1 for the images); the interval of the difference adds their half-widths in quadrature, and the p-value is the level at which it
reaches 0:

    half = sqrt(t_seeds^2 seeds' + t_images^2 images')

Measured on simulated families of equal methods (600 families each; 300 of 9 methods): 2 methods in 4 conditions, 4 in 2 and 9 in 4; 2, 3
and 5 seeds; 359 and 1,000 images; chance mostly of seeds, of images, of single trainings on images, or of all. After Holm's correction at
5 %, a pair was called different in 0 to 5 % of the families, in accuracy, ECE and NLL, and in 0 to 7 % in ECE after temperature scaling
(300 families for the last two). Where the trainings of one method spread three times as widely as the others', it was 3 to 6 % in accuracy
and 0 to 4 % in ECE. Where ten times, one variance for all is wrong: 10 to 16 % in accuracy and up to 19 % in ECE. The rates are near 0, and
real differences are missed, where chance is mostly of single trainings on images, and with few methods and seeds: below 3 % for 2 methods
with 3 seeds, 0 % with 2. A difference of accuracy that 5 seeds of 4 methods showed in 70 % of the families (359 images), 3 seeds showed in
27 % and 2 in 1 %.

Left for it: Satterthwaite's degrees of freedom of the sum, which grow where the seeds show too little (10 to 16 % of the families of 4
methods, 29 to 61 % of those of 9, and with pooled seeds still 11 % of those of 2; power 72 and 36 % with 5 and 3 seeds); the variance of
the two methods alone, by which 3 seeds show next to nothing; drawing replicates and images together, which counts `shared` three times
(Owen 2007); a t test over the seeds, which forgets the images.

References:
    Zou & Donner, Construction of confidence limits about effect measures, Statistics in Medicine 2008 (half-widths in quadrature);
    Owen, The pigeonhole bootstrap, Annals of Applied Statistics 2007.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy import optimize, special

from studies.statistics.resampling import Float64, Resampled

Verdict = Literal["better", "worse", "not distinguishable"]

_ROUNDING = 1e-12  # what is below this share of the values is their rounding
_LEAST_P = 1e-300


@dataclass(frozen=True)
class Comparison:
    """Method a minus method b in one metric.

    Attributes:
        difference: mean over the shared replicates on all images; None without one.
        standard_error: of the difference.
        low: lower end of its interval.
        high: upper end.
        p_value: two-sided, of no difference.
        degrees_of_freedom: of the seeds' part of the variance.
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


class SeedVariance(NamedTuple):
    """How much the difference of two methods moves with the seed.

    Attributes:
        variance: of the difference in one replicate.
        degrees_of_freedom: it rests on.
    """

    variance: float
    degrees_of_freedom: float


def pooled_seed_variance(methods: Sequence[Mapping[int, float | None]]) -> SeedVariance | None:
    """What all methods of a comparison say together of the seeds: twice the residual variance of value = method + replicate.

    Where every method has every replicate, that is the mean over all pairs of the variance of their differences.

    Args:
        methods: of each its values by replicate; None, NaN and infinity are left out.

    Returns:
        None where no degree of freedom is left.
    """
    cells = [
        (place, replicate, value)
        for place, values in enumerate(methods)
        for replicate, value in values.items()
        if value is not None and math.isfinite(value)
    ]
    replicates = sorted({replicate for _, replicate, _ in cells})
    design = np.zeros((len(cells), len(methods) + len(replicates)))
    for row, (place, replicate, _) in enumerate(cells):
        design[row, place] = design[row, len(methods) + replicates.index(replicate)] = 1
    values = np.array([value for *_, value in cells])
    fit, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
    degrees_of_freedom = len(cells) - int(rank)
    if not degrees_of_freedom:
        return None
    residuals = values - design @ fit
    return SeedVariance(2 * float(residuals @ residuals) / degrees_of_freedom, float(degrees_of_freedom))


def compare(a: Resampled, b: Resampled, *, seeds: SeedVariance | None = None, confidence_level: float = 0.95) -> Comparison:
    """Compare one metric of two methods, over fresh seeds and other images.

    Args:
        a: of one `Resampler`, the same metric as `b`. Replicates that only one of them has are left out.
        b: the other method.
        seeds: `pooled_seed_variance` of all methods that are compared; where None, that of these two.
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
    parts = _parts(differences, a.resamples - b.resamples, a.n_images, seeds)
    return _judge(differences, parts, scale=max(np.abs(a.values).max(), np.abs(b.values).max()), confidence_level=confidence_level)


class _Parts(NamedTuple):
    """Variance of a mean difference, and the degrees of freedom of its parts."""

    seeds: float
    images: float
    of_seeds: float
    of_images: float

    @property
    def standard_error(self) -> float:
        return math.sqrt(self.seeds + self.images)

    def half_width(self, p: float) -> float:
        """Half of the interval that holds the difference but for a chance of `p`."""
        of_seeds, of_images = (-float(special.stdtrit(freedom, p / 2)) for freedom in (self.of_seeds, self.of_images))
        return math.hypot(of_seeds * math.sqrt(self.seeds), of_images * math.sqrt(self.images))

    def p_value(self, difference: float) -> float:
        """The level at which the interval reaches 0."""

        def beyond(log_p: float) -> float:
            return self.half_width(math.exp(log_p)) - abs(difference)

        least = math.log(_LEAST_P)
        if difference == 0:
            return 1.0
        return _LEAST_P if beyond(least) < 0 else math.exp(optimize.brentq(beyond, least, 0.0, xtol=1e-12))


def _parts(differences: Float64, resamples: Float64, n_images: int, seeds: SeedVariance | None) -> _Parts:
    """Of (S,) differences, given (R, S) on resampled images."""
    n = len(differences)
    own = SeedVariance(float(differences.var(ddof=1)), n - 1)
    pooled = seeds or own
    means = resamples.mean(1)
    shared = float((resamples - means[:, None]).var(0, ddof=1).sum()) / ((n - 1) * n)
    return _Parts(
        seeds=max(own.variance / n, pooled.variance / n, shared),
        images=max(float(means.var(ddof=1)) - shared, 0.0),
        of_seeds=pooled.degrees_of_freedom,
        of_images=n_images - 1,
    )


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
    parts = _Parts(seeds=float(differences.var(ddof=1)) / n, images=0.0, of_seeds=n - 1, of_images=1)
    return _judge(differences, parts, scale=max(np.abs(a).max(), np.abs(b).max()), confidence_level=confidence_level)


def _of_too_few(differences: Float64) -> Comparison:
    n = len(differences)
    reason = "The methods share no replicate." if n == 0 else "One replicate has no spread over seeds: confirm with 2 seeds or more."
    return Comparison(float(differences[0]) if n else None, None, None, None, None, None, n, reason)


def _judge(differences: Float64, parts: _Parts, *, scale: float, confidence_level: float) -> Comparison:
    """The mean difference with its interval and p-value; `scale` is the size of the values that were subtracted."""
    if not 0 < confidence_level < 1:
        raise ValueError(f"`0 < confidence_level < 1` must hold, but got {confidence_level=}.")
    n, difference, error = len(differences), float(differences.mean()), parts.standard_error
    if error <= _ROUNDING * scale:
        if abs(difference) <= _ROUNDING * scale:
            return Comparison(0.0, 0.0, 0.0, 0.0, 1.0, parts.of_seeds, n)
        reason = f"All {n} replicates differ by the same amount, so its error cannot be told."
        return Comparison(difference, None, None, None, None, None, n, reason)
    half = parts.half_width(1 - confidence_level)
    return Comparison(difference, error, difference - half, difference + half, parts.p_value(difference), parts.of_seeds, n)


def verdict(comparison: Comparison, holm_p: float | None, *, higher_is_better: bool, level: float = 0.05) -> Verdict:
    """What a comparison says of method a, given its p-value after Holm's correction.

    "not distinguishable" covers both a difference within noise and a comparison that could not be made; the latter has a `reason`.
    """
    if holm_p is None or holm_p >= level or not comparison.difference:
        return "not distinguishable"
    return "better" if (comparison.difference > 0) == higher_is_better else "worse"
