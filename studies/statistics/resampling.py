"""Metrics of trained models on resampled images, the same resamples for every model.

S replicates (fresh seeds of one setting), N images, B bins, R resamples. Each metric is a sum of absolute values of sums over the drawn
images (one sum for accuracy and NLL, one for each bin for ECE), so a resample is a row of counts, and all resamples of all replicates and
metrics are one product of matrices. As every model sees the same counts, the difference of two models on resample r is the difference of
their numbers there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

_CELLS = 2**21  # counts held as float64 at once: 16 MiB


@dataclass(frozen=True)
class Replicates:
    """What the models of one setting say of the same N images.

    Attributes:
        confidence: (S, N) probability of the predicted class.
        hit: (S, N) whether the predicted class is the label, bool or 0 and 1.
        numbers: (S,) which replicate each row is; 0, 1, ... when left out. Equal numbers are paired across methods.
        nll: (S, N) minus the log of the label's probability, finite; None where not known.
        scaled_confidence: (S, N) as `confidence`, after temperature scaling; None where not known.
    """

    confidence: npt.NDArray[np.floating]
    hit: npt.NDArray[np.generic]
    numbers: tuple[int, ...] = ()
    nll: npt.NDArray[np.floating] | None = None
    scaled_confidence: npt.NDArray[np.floating] | None = None

    def __post_init__(self) -> None:
        named = {name: getattr(self, name) for name in ("confidence", "hit", "nll", "scaled_confidence")}
        arrays = {name: np.asarray(array, dtype=np.float64) for name, array in named.items() if array is not None}
        shapes = {name: array.shape for name, array in arrays.items()}
        if len(set(shapes.values())) != 1 or len(shapes["hit"]) != 2 or not arrays["hit"].size:
            shown = " and ".join(map(str, shapes.values()))
            raise ValueError(f"Expected {' and '.join(shapes)} of one shape (S, N), but got {shown}.")
        confidences = [arrays[name] for name in ("confidence", "scaled_confidence") if name in arrays]
        in_range = all(((array >= 0) & (array <= 1)).all() for array in confidences)  # NaN is refused with the rest
        if not in_range or not np.isin(arrays["hit"], (0, 1)).all():
            raise ValueError("A confidence lies in [0, 1] and a hit is 0 or 1, but got others.")
        if "nll" in arrays and not (np.isfinite(arrays["nll"]) & (arrays["nll"] >= 0)).all():
            raise ValueError("An NLL is finite and at least 0, but got others.")
        numbers = self.numbers or tuple(range(len(arrays["hit"])))
        if len(numbers) != len(arrays["hit"]) or len(set(numbers)) != len(numbers):
            raise ValueError(f"Expected one number for each of {len(arrays['hit'])} replicates, none twice, but got {numbers}.")
        for name, value in (*arrays.items(), ("numbers", numbers)):
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Resampled:
    """One metric of one setting.

    Attributes:
        values: (S,) of each replicate on all N images.
        resamples: (R, S) of each replicate on resampled images.
        numbers: (S,) which replicate each column is.
        n_images: N.
    """

    values: Float64
    resamples: Float64
    numbers: tuple[int, ...]
    n_images: int

    @property
    def value(self) -> float:
        """Mean over the replicates."""
        return float(self.values.mean())

    def of(self, numbers: tuple[int, ...]) -> Resampled:
        """The same for some of the replicates, in the order given."""
        columns = [self.numbers.index(number) for number in numbers]
        return Resampled(self.values[columns], self.resamples[:, columns], numbers, self.n_images)


class ResampledMetrics(NamedTuple):
    """The metrics of one setting, on the same resamples; None for what was not known by image."""

    accuracy: Resampled
    ece: Resampled
    nll: Resampled | None = None
    ece_temperature_scaled: Resampled | None = None


class Resampler:
    """One draw of images with replacement for all models of a comparison.

    Args:
        n_images: N >= 2.
        n_resamples: R >= 2; the standard error of a difference is then known to about 1 / sqrt(2 R) of itself.
        n_bins: B >= 1 equal-width bins (low, high] of ECE; the first also holds 0.
        seed: equal seeds draw the same images.

    The counts take R N bytes: 50 MB with 1000 resamples of 50,000 images.

    Raises:
        ValueError: a number out of range.
    """

    def __init__(self, n_images: int, *, n_resamples: int = 1000, n_bins: int = 15, seed: int) -> None:
        for name, value, least in (("n_images", n_images, 2), ("n_resamples", n_resamples, 2), ("n_bins", n_bins, 1)):
            if value < least:
                raise ValueError(f"`{name} >= {least}` must hold, but got {name}={value}.")
        self.n_images, self.n_bins = n_images, n_bins
        rng = np.random.default_rng(seed)
        self._counts = np.empty((n_resamples, n_images), dtype=np.uint8)  # a count above 255 has probability below 1e-500
        for counts in self._counts:
            counts[:] = np.bincount(rng.integers(0, n_images, n_images), minlength=n_images)

    def apply(self, replicates: Replicates) -> ResampledMetrics:
        """Each metric of each replicate, on all images and on every resample.

        Raises:
            ValueError: another number of images.
        """
        n_replicates, n_images = replicates.hit.shape
        if n_images != self.n_images:
            raise ValueError(f"Expected predictions of {self.n_images} images, as the other models have, but got {n_images}.")
        parts = _summands(replicates, self.n_bins)
        columns = np.concatenate(list(parts.values()), axis=2)  # (S, N, columns of all metrics)
        columns = columns.transpose(1, 0, 2).reshape(n_images, -1)
        rows = max(1, _CELLS // n_images)
        blocks = [self._counts[start : start + rows].astype(np.float64) @ columns for start in range(0, len(self._counts), rows)]
        sums = np.abs(np.vstack([columns.sum(0), *blocks])).reshape(1 + len(self._counts), n_replicates, -1) / n_images
        ends = np.cumsum([part.shape[2] for part in parts.values()])[:-1]
        values = dict(zip(parts, (part.sum(2) for part in np.split(sums, ends, axis=2)), strict=True))
        return ResampledMetrics(**{name: Resampled(found[0], found[1:], replicates.numbers, n_images) for name, found in values.items()})


def _summands(replicates: Replicates, n_bins: int) -> dict[str, Float64]:
    """By metric (S, N, columns): N times the metric is the sum of the absolute values of the columns' sums over images."""
    hit = np.asarray(replicates.hit, dtype=np.float64)
    found: dict[str, Float64] = {"accuracy": hit[:, :, None], "ece": _gaps(replicates.confidence, hit, n_bins)}
    if replicates.nll is not None:
        found["nll"] = np.asarray(replicates.nll, dtype=np.float64)[:, :, None]
    if replicates.scaled_confidence is not None:
        found["ece_temperature_scaled"] = _gaps(replicates.scaled_confidence, hit, n_bins)
    return found


def _gaps(confidence: npt.NDArray[np.floating], hit: Float64, n_bins: int) -> Float64:
    """(S, N, B): in the column of an image's bin hit - confidence, and 0 in the others."""
    bins = np.searchsorted(np.linspace(0.0, 1.0, n_bins + 1)[1:-1], confidence, side="left")  # (S, N)
    gaps = np.zeros((*hit.shape, n_bins))
    np.put_along_axis(gaps, bins[:, :, None], (hit - confidence)[:, :, None], axis=2)
    return gaps
