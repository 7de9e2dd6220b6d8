"""Motion blur along a line, one angle an image, in batches."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from bsd_core.errors import require
from bsd_core.robustness.pixels import blocks, rows_of_plane

# Weights are multiples of 2**-16. A weighted sum of grey levels then has 24 bits at most and is exact in float32, whatever the order in
# which it is added, so it is the same in every batch and on every device.
_UNITS = 2**16
# ImageMagick rounds the sum to 16 bits, 257 a grey level, before it truncates to 8: floor(sum + 1 / 514), which is 127.5 units.
_ROUNDING = 127 / _UNITS


def motion_blur(images: Tensor, *, radius: float, sigma: float, degrees: Tensor) -> Tensor:
    """Each image averaged along its own direction, as ImageMagick's motion blur.

    out = floor(sum_i weight_i * image(x + x_i, y + y_i) + 1 / 514) for i = 0 to 2 ceil(radius), edges replicated, with
    weight_i ~ exp(-i^2 / (2 sigma^2)) (the trail lies on one side), x_i = ceil(i cos(angle) - 0.5), y_i = ceil(i sin(angle) - 0.5).

    Args:
        images: (N, C, H, W) uint8.
        radius: of the kernel in pixels, at least 0.
        sigma: spread of the trail in pixels, above 0.
        degrees: (N,) float, each image's angle: 0 averages with the pixels to the right, 90 with those below.

    Returns:
        (N, C, H, W) uint8.

    Raises:
        ValueError: a radius below 0, a sigma of 0 or less, or angles that are not one an image.

    References:
        ImageMagick 6 `MotionBlurImage`: its 8-bit output, but for one grey level on about 0.1 % of the values.
    """
    require(radius >= 0, "radius is at least 0", radius=radius)
    require(sigma > 0, "sigma is above 0", sigma=sigma)
    if degrees.shape != images.shape[:1]:
        raise ValueError(f"Expected one angle an image, shape ({len(images)},), but got {tuple(degrees.shape)}.")
    # On the CPU in float64, for the same offsets on every device. Sorted by angle, images with equal offsets lie side by side.
    angles, order = degrees.cpu().double().sort(stable=True)
    order = order.to(images.device)
    weights = trail_weights(radius, sigma)
    x, y = trail_offsets(angles.numpy(), radius=radius, n=len(weights))
    out = torch.empty_like(images, memory_format=torch.contiguous_format)
    for rows in blocks(images):
        out[order[rows]] = _average(images[order[rows]].contiguous(), weights, x[rows], y[rows])
    return out


@functools.lru_cache(maxsize=64)
def trail_weights(radius: float, sigma: float) -> tuple[float, ...]:
    """The weights of the taps 0, 1, ...: multiples of 2**-16 that sum to 1, up to the last that is not 0."""
    taps = np.arange(2 * math.ceil(radius) + 1)
    exact = np.exp(-(taps**2) / (2 * sigma**2))
    units = np.rint(exact / exact.sum() * _UNITS)
    units[0] += _UNITS - units.sum()
    return tuple(units[: np.flatnonzero(units)[-1] + 1] / _UNITS)


def trail_offsets(degrees: npt.NDArray[np.float64], *, radius: float, n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The first n taps' offsets to the right and down, in pixels: each (N, n)."""
    width = 2 * math.ceil(radius) + 1
    radians = np.radians(degrees)
    across, along = width * np.sin(radians), width * np.cos(radians)
    length = np.hypot(across, along)
    taps = np.arange(n)
    x, y = (np.ceil(taps * (part / length)[:, None] - 0.5).astype(np.int64) for part in (along, across))
    return x, y


def _average(images: Tensor, weights: tuple[float, ...], x: npt.NDArray[np.int64], y: npt.NDArray[np.int64]) -> Tensor:
    """The weighted sum of shifted images, truncated. Images with equal offsets at a tap are added as one slice."""
    height, width = images.shape[2:]
    left, right, above, below = (max(0, int(reach)) for reach in (-x.min(), x.max(), -y.min(), y.max()))
    padded = pad(images.float(), (left, right, above, below), mode="replicate")
    # Rows keep their padding, so that a shift in both directions is one shift of a flat plane; what falls between rows is thrown away.
    stride = padded.shape[3]
    plane = padded.flatten(2)
    length = (height - 1) * stride + width
    first = above * stride + left
    sums = (plane[:, :, first : first + length] * weights[0]).add_(_ROUNDING)
    for tap in range(1, len(weights)):
        shifts = y[:, tap] * stride + x[:, tap]
        edges = [0, *(np.flatnonzero(np.diff(shifts)) + 1).tolist(), len(images)]
        for low, high in itertools.pairwise(edges):
            start = first + int(shifts[low])
            sums[low:high].add_(plane[low:high, :, start : start + length], alpha=weights[tap])
    return rows_of_plane(sums, height, width, stride).to(torch.uint8)
