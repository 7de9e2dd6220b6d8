"""Accuracy and ECE of trained models on resampled images, the same resamples for every model.

S replicates (fresh seeds of one setting), N images, B bins, R resamples. Both metrics follow from sums over the drawn images, so a resample
is a row of counts, and all resamples of all replicates are one product of matrices. As every model sees the same counts, the difference
of two models on resample r is the difference of their numbers there.
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
    """

    confidence: npt.NDArray[np.floating]
    hit: npt.NDArray[np.generic]
    numbers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        confidence, hit = np.asarray(self.confidence, dtype=np.float64), np.asarray(self.hit, dtype=np.float64)
        if confidence.ndim != 2 or confidence.shape != hit.shape or not confidence.size:
            raise ValueError(f"Expected confidence and hit of one shape (S, N), but got {confidence.shape} and {hit.shape}.")
        if not ((confidence >= 0) & (confidence <= 1)).all() or not np.isin(hit, (0, 1)).all():  # NaN is refused with the rest
            raise ValueError("A confidence lies in [0, 1] and a hit is 0 or 1, but got others.")
        numbers = self.numbers or tuple(range(len(confidence)))
        if len(numbers) != len(confidence) or len(set(numbers)) != len(numbers):
            raise ValueError(f"Expected one number for each of {len(confidence)} replicates, none twice, but got {numbers}.")
        for name, value in (("confidence", confidence), ("hit", hit), ("numbers", numbers)):
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
    """Both metrics of one setting, on the same resamples."""

    accuracy: Resampled
    ece: Resampled


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
        """Both metrics of each replicate, on all images and on every resample.

        Raises:
            ValueError: another number of images.
        """
        n_replicates, n_images = replicates.hit.shape
        if n_images != self.n_images:
            raise ValueError(f"Expected predictions of {self.n_images} images, as the other models have, but got {n_images}.")
        columns = _columns(replicates, self.n_bins)
        rows = max(1, _CELLS // n_images)
        blocks = [self._counts[start : start + rows].astype(np.float64) @ columns for start in range(0, len(self._counts), rows)]
        sums = np.vstack([columns.sum(0), *blocks]).reshape(-1, n_replicates, self.n_bins + 1) / n_images  # (1 + R, S, B + 1)
        accuracy, ece = sums[:, :, 0], np.abs(sums[:, :, 1:]).sum(2)
        return ResampledMetrics(*(Resampled(found[0], found[1:], replicates.numbers, n_images) for found in (accuracy, ece)))


def _columns(replicates: Replicates, n_bins: int) -> Float64:
    """(N, S (B + 1)): for each replicate its hits, then in the column of an image's bin hit - confidence.

    Summed over images, the first gives N accuracy, and the absolute values of the others N ECE.
    """
    confidence, hit = replicates.confidence, np.asarray(replicates.hit, dtype=np.float64)
    n_replicates, n_images = hit.shape
    bins = np.searchsorted(np.linspace(0.0, 1.0, n_bins + 1)[1:-1], confidence, side="left")  # (S, N)
    columns = np.zeros((n_images, n_replicates, n_bins + 1))
    columns[:, :, 0] = hit.T
    np.put_along_axis(columns, bins.T[:, :, None] + 1, (hit - confidence).T[:, :, None], axis=2)
    return columns.reshape(n_images, -1)
