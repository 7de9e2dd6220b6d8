"""Separable filters and resizing as matrices: out = rows @ image @ columns.T, borders folded in.

For images of 32 pixels a small matrix product is faster than a padded convolution, and exact in float64.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


@functools.lru_cache(maxsize=256)
def gaussian_blur_matrix(size: int, sigma: float, truncate: float = 4.0) -> Float64:
    """(size, size) matrix of a Gaussian filter with edge replication, as scipy's `gaussian_filter(mode="nearest")`.

    Args:
        size: pixels along the axis.
        sigma: spread in pixels.
        truncate: the kernel is cut at round(truncate * sigma) pixels and normalised.
    """
    radius = int(truncate * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    matrix = np.zeros((size, size))
    for row in range(size):
        np.add.at(matrix[row], np.clip(row + offsets, 0, size - 1), kernel)
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
