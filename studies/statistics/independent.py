"""Comparisons of two samples that share nothing, such as trainings of two runs with seeds of their own: Welch's t test."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from studies.statistics.paired import Comparison

_ROUNDING = 1e-12  # what is below this share of the values is their rounding


def compare_independent(
    values_a: Sequence[float | None], values_b: Sequence[float | None], *, confidence_level: float = 0.95
) -> Comparison:
    """Mean of a minus mean of b, with Welch's interval and p-value.

    With s^2 the sample variances, the error of the difference is sqrt(s_a^2 / n_a + s_b^2 / n_b), with the degrees of freedom of Welch and
    Satterthwaite. It takes the images as given, and so says nothing about other images.

    Args:
        values_a: of each training; None, NaN and infinity are left out.
        values_b: of the others.
        confidence_level: in (0, 1).

    Returns:
        With `n_replicates` 0, since none is shared.

    Raises:
        ValueError: `confidence_level` out of range.

    References:
        Welch, The generalization of "Student's" problem when several different population variances are involved, Biometrika 1947.
    """
    if not 0 < confidence_level < 1:
        raise ValueError(f"`0 < confidence_level < 1` must hold, but got {confidence_level=}.")
    a, b = (np.array([value for value in values if value is not None and math.isfinite(value)]) for values in (values_a, values_b))
    if not len(a) or not len(b):
        return Comparison(None, None, None, None, None, None, 0, "One of the two has no finished training.")
    difference = float(a.mean() - b.mean())
    if len(a) < 2 or len(b) < 2:
        reason = "One training has no spread over seeds: confirm with 2 seeds or more."
        return Comparison(difference, None, None, None, None, None, 0, reason)
    parts = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    error = math.sqrt(parts.sum())
    scale = max(np.abs(a).max(), np.abs(b).max())
    if error <= _ROUNDING * scale:
        if abs(difference) <= _ROUNDING * scale:
            return Comparison(0.0, 0.0, 0.0, 0.0, 1.0, None, 0)
        reason = "Neither of the two differs among its own trainings, so the error of their difference cannot be told."
        return Comparison(difference, None, None, None, None, None, 0, reason)
    freedom = float(parts.sum() ** 2 / (parts**2 / [len(a) - 1, len(b) - 1]).sum())
    half = -float(special.stdtrit(freedom, (1 - confidence_level) / 2)) * error
    p_value = min(1.0, 2 * float(special.stdtr(freedom, -abs(difference) / error)))
    return Comparison(difference, error, difference - half, difference + half, p_value, freedom, 0)
