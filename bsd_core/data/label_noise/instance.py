"""Instance-dependent label noise (Xia et al., NeurIPS 2020): look-alikes are mislabelled alike.

Each image has a flip rate q ~ normal(rate, 0.1) truncated to [0, 1]; each class y a random matrix W_y ~ N(0, 1) of shape (d, K).
With a = x W_y and a_y = -inf, the label is drawn from P = q softmax(a) + (1 - q) onehot(y).

Same as the authors' code: NumPy's legacy generator in the order q, W, labels, so equal seeds give the labels of that code.
Different: W is drawn class by class and not kept (the stream is the same), the softmax is in float64, all labels are drawn at once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from bsd_core.data.images import Int64, Pixels
from bsd_core.data.label_noise.arrays import Numbers, as_array
from bsd_core.data.statistics import channel_mean_and_std
from bsd_core.errors import ConfigError, DataError

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_SPREAD: Final = 0.1  # standard deviation of the flip rates before truncation, as in the paper
_MAX_WEIGHTS: Final = 2**28  # 1 GiB as float32; drawing them takes some ten seconds
_BLOCK: Final = 2048  # images at a time


def instance_features(*images: Pixels) -> Float32:
    """Pixels in [0, 1], normalised per channel over all these images and flattened: what `instance` noise looks at.

    Args:
        images: one or more of (N_i, C, H, W) uint8, together at least one image, in memory or mapped; read block by block.

    Returns:
        (N, C*H*W) float32, N the sum of N_i, in the order given.

    Raises:
        DataError: no images, or images of different sizes.
    """
    shapes = {part.shape[1:] for part in images}
    if len(shapes) != 1 or not any(map(len, images)):
        raise DataError(f"Expected one or more images of one shape (C, H, W), but got {[part.shape for part in images]}.")
    joined = _Joined(images)
    mean, std = channel_mean_and_std(joined)
    levels = torch.arange(256, dtype=torch.float32) / 255
    values = ((levels - mean[:, None]) / std[:, None]).numpy()  # (C, 256): what each grey level becomes
    features = np.empty((len(joined), *next(iter(shapes))), dtype=np.float32)
    for part, offset in zip(images, joined.offsets, strict=True):
        for start in range(0, len(part), _BLOCK):
            block = part[start : start + _BLOCK]
            for channel, value in enumerate(values):
                features[offset + start : offset + start + len(block), channel] = value[block[:, channel]]
    return features.reshape(len(joined), -1)


class _Joined:
    """Several arrays of images as one with the rows of a tensor, as `channel_mean_and_std` reads them."""

    def __init__(self, parts: Sequence[Pixels]) -> None:
        self.parts = parts
        self.offsets = [0, *itertools.accumulate(map(len, parts))][:-1]

    def __len__(self) -> int:
        return self.offsets[-1] + len(self.parts[-1])

    def __getitem__(self, rows: torch.Tensor) -> torch.Tensor:
        """(n,) ascending row numbers -> (n, C, H, W) uint8."""
        chosen = np.split(rows.numpy(), np.searchsorted(rows.numpy(), self.offsets[1:]))
        blocks = [part[own - offset] for part, own, offset in zip(self.parts, chosen, self.offsets, strict=True) if len(own)]
        return torch.from_numpy(blocks[0] if len(blocks) == 1 else np.concatenate(blocks))


def instance_labels(true: Int64, features: Numbers | None, rate: float, *, n_classes: int, seed: int) -> Int64:
    """Labels with instance-dependent noise; how many are wrong is random, about `mean_flip_rate(rate)` of them.

    Args:
        true: (N,) int64 in [0, K).
        features: (N, d) floats, one vector an image, of unit scale: an array, a tensor or lists; see `instance_features`.
        rate: mean of the flip rates before truncation, in (0, 1).
        n_classes: K.
        seed: modulo 2^32 it seeds a legacy NumPy generator; NumPy's global state stays as it was.

    Raises:
        ConfigError: no features, or K * d * K weights are more than 1 GiB.
        DataError: features that are not finite numbers of shape (N, d).
    """
    if features is None:
        raise ConfigError("Instance noise depends on the images. Give features=instance_features(images).")
    vectors = as_array(features, "features")
    if vectors.ndim != 2 or len(vectors) != len(true) or vectors.dtype.kind != "f":
        raise DataError(f"Expected float features of shape ({len(true)}, d), one row an image, but got {vectors.dtype} {vectors.shape}.")
    check_instance_size(n_classes, vectors.shape[1])
    stream = np.random.RandomState(seed % 2**32)
    flip_rates = truncated_normal(rate, stream.random_sample(len(true)))  # (N,)
    logits = np.empty((len(true), n_classes), dtype=np.float32)
    for label in range(n_classes):
        weights = stream.standard_normal((vectors.shape[1], n_classes)).astype(np.float32)  # drawn even where no image needs them
        for rows in _blocks(np.flatnonzero(true == label)):
            logits[rows] = _project(vectors[rows], weights)
    uniform = stream.random_sample(len(true))
    given = np.empty_like(true)
    for rows in _blocks(np.arange(len(true))):
        given[rows] = _draw(true[rows], logits[rows], flip_rates[rows], uniform[rows])
    return given


def check_instance_size(n_classes: int, n_features: int) -> None:
    """Before features are made, which may be large: whether the K * d * K weights of instance noise stay within 1 GiB.

    Raises:
        ConfigError: they do not.
    """
    n_weights = n_classes * n_features * n_classes
    if n_weights > _MAX_WEIGHTS:
        raise ConfigError(
            f"Instance noise with {n_classes} classes and {n_features} features an image needs {n_classes} x {n_features} x {n_classes} "
            f"random weights, {n_weights * 4 / 2**30:.1f} GiB; at most 1 GiB is allowed. Use smaller images (image_size), or give fewer "
            "features."
        )


def _blocks(rows: Int64) -> list[Int64]:
    return np.split(rows, range(_BLOCK, len(rows), _BLOCK))


def _project(features: npt.NDArray[Any], weights: Float32) -> Float32:
    with np.errstate(over="ignore", invalid="ignore"):  # said in our own words
        projected: Float32 = features.astype(np.float32, copy=False) @ weights
    if not np.isfinite(projected).all():
        raise DataError("The features of instance noise hold values that are not finite, or too large to multiply.")
    return projected


def _draw(true: Int64, logits: Float32, flip_rates: Float64, uniform: Float64) -> Int64:
    """(n,) one draw a sample from P = q softmax(logits without the true class) + (1 - q) onehot(true)."""
    here = np.arange(len(true)), true
    weights = logits.astype(np.float64)
    weights[here] = -np.inf
    weights = np.exp(weights - weights.max(1, keepdims=True))
    probs = flip_rates[:, None] * weights / weights.sum(1, keepdims=True)
    probs[here] += 1 - flip_rates
    cumulated = probs.cumsum(1)
    drawn: Int64 = (cumulated / cumulated[:, -1:] <= uniform[:, None]).sum(1)
    return drawn


def truncated_normal(mean: float, uniform: Float64) -> Float64:
    """Uniform numbers in [0, 1) turned into draws of a normal around `mean` with deviation 0.1, truncated to [0, 1]."""
    from scipy.special import ndtr, ndtri

    low, high = ndtr(-mean / _SPREAD), ndtr((1 - mean) / _SPREAD)
    draws: Float64 = (mean + _SPREAD * ndtri(low + uniform * (high - low))).clip(0, 1)
    return draws


def mean_flip_rate(rate: float) -> float:
    """Mean of the truncated normal, in [0, 1): the expected share of wrong labels; 0 at rate 0, which means no noise here."""
    if rate == 0:
        return 0.0
    low, high = -rate / _SPREAD, (1 - rate) / _SPREAD
    inside = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    slope = (math.exp(-(low**2) / 2) - math.exp(-(high**2) / 2)) / math.sqrt(2 * math.pi)
    return rate + _SPREAD * slope / inside
