"""Separable filters and resizing as matrices: out = rows @ image @ columns.T, borders folded in.

For images of 32 pixels a small matrix product is faster than a padded convolution, and exact in float64.
"""

from __future__ import annotations

import functools
import math
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Float64 = npt.NDArray[np.float64]


def apply_separable(x: Tensor, rows: Float64, columns: Float64) -> Tensor:
    """rows @ x @ columns.T for each image and channel, in the precision of `x`: (N, C, H, W) floats -> (N, C, H', W')."""
    vertical = torch.from_numpy(rows).to(x)
    horizontal = torch.from_numpy(columns).to(x)
    return vertical @ (x @ horizontal.T)


@functools.lru_cache(maxsize=256)
def gaussian_weights(sigma: float, *, truncate: float = 4.0) -> tuple[float, ...]:
    """The weights of a Gaussian filter at distance 0, 1, ..., round(truncate * sigma) pixels, bit for bit as SciPy's."""
    radius = int(truncate * sigma + 0.5)
    kernel = np.exp(-0.5 / (sigma * sigma) * np.arange(-radius, radius + 1) ** 2)
    return tuple((kernel / kernel.sum())[radius:].tolist())


@functools.lru_cache(maxsize=256)
def gaussian_blur_matrix(size: int, sigma: float, *, truncate: float = 4.0, border: Literal["nearest", "reflect"] = "nearest") -> Float64:
    """(size, size) matrix of a Gaussian filter, as scipy's `gaussian_filter`.

    Args:
        size: pixels along the axis.
        sigma: spread in pixels.
        truncate: the kernel is cut at round(truncate * sigma) pixels and normalised.
        border: replicate the edge pixel (a a | a b c), or reflect about the edge (b a | a b c), as SciPy names them.
    """
    half = gaussian_weights(sigma, truncate=truncate)
    radius = len(half) - 1
    offsets = np.arange(-radius, radius + 1)
    kernel = np.array(half)[np.abs(offsets)]
    matrix = np.zeros((size, size))
    for row in range(size):
        sources = row + offsets
        if border == "reflect":
            sources = sources % (2 * size)
            sources = np.where(sources < size, sources, 2 * size - 1 - sources)
        np.add.at(matrix[row], np.clip(sources, 0, size - 1), kernel)
    return matrix


@functools.lru_cache(maxsize=256)
def box_resize_matrix(size_in: int, size_out: int) -> Float64:
    """(size_out, size_in) integer weights of Pillow's BOX filter, in units of 2**-22 (its fixed point, so output is bit-equal)."""
    scale = size_in / size_out
    filter_scale = max(scale, 1.0)
    support = 0.5 * filter_scale
    matrix = np.zeros((size_out, size_in))
    for row in range(size_out):
        center = (row + 0.5) * scale
        low = max(0, int(center - support + 0.5))
        high = min(size_in, int(center + support + 0.5))
        position = (np.arange(low, high) - center + 0.5) / filter_scale
        weights = ((position > -0.5) & (position <= 0.5)).astype(np.float64)
        matrix[row, low:high] = np.floor(weights / weights.sum() * 2**22 + 0.5)
    return matrix


@functools.lru_cache(maxsize=1024)
def clipped_zoom_matrix(size: int, factor: float) -> Float64:
    """(size, size) matrix of a bilinear zoom into the centre, factor >= 1, as the reference's use of `scipy.ndimage.zoom`.

    The ceil(size / factor) pixels in the middle are drawn out to round(that * factor) pixels, first on first and last on last, and those
    trimmed to `size`. They are never fewer than `size`, since ceil(size / factor) * factor >= size.
    At a few sizes and factors (none at 28, 32, 64, 96, 128, 224 or 256 pixels) SciPy rounds its last coordinate beyond the last pixel
    and returns 0 there, a black line; this matrix takes the last pixel.
    """
    crop = math.ceil(size / factor)
    top = (size - crop) // 2
    drawn = round(crop * factor)
    trim = (drawn - size) // 2
    step = (crop - 1) / (drawn - 1) if drawn > 1 else 0.0
    position = np.minimum((trim + np.arange(size)) * step, crop - 1)
    low = np.floor(position).astype(np.int64)
    high = np.minimum(low + 1, crop - 1)
    rows = np.arange(size)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (rows, top + low), 1.0 - (position - low))
    np.add.at(matrix, (rows, top + high), position - low)
    return matrix
