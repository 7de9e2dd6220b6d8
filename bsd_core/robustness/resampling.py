"""One geometric map for all images: every output pixel is a bilinear mean of the same four input pixels, whatever the image.

Pixels stand first and images last, (P, M) with M = N * C, so that a tap is a copy of whole rows; a last row is black, for what lies
outside. Two arithmetics, since results are truncated or rounded to grey levels and shall have the same bits: Pillow's (float64, truncated)
and OpenCV's (1/32 pixel, 15-bit weights).
"""

from __future__ import annotations

import functools
import math
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
# (a, b, c, d, e, f): output pixel (x, y) shows the input at (a x + b y + c, d x + e y + f)
Affine = tuple[float, float, float, float, float, float]

_BLOCK: Final = 2**14  # values that are worked on at a time on a CPU, so that they stay in its cache


def pixels_first(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (H * W + 1, N * C), the last row 0."""
    n, channels, height, width = images.shape
    pixels = images.new_zeros(height * width + 1, n * channels)
    pixels[:-1].view(height, width, n, channels).copy_(images.permute(2, 3, 0, 1))
    return pixels


def images_first(pixels: Tensor, shape: torch.Size) -> Tensor:
    """(H * W, N * C) -> (N, C, H, W), given that shape."""
    n, channels, height, width = shape
    return pixels.view(height, width, n, channels).permute(2, 3, 0, 1).contiguous()


def affine_about_center(*, height: int, width: int, degrees: float = 0.0, scale: float = 1.0, shear: float = 0.0) -> Affine:
    """Rotation (clockwise), scale and shear about the centre, as torchvision 0.2: output to input.

    That version's centre is half the size **plus half a pixel**, and its shear s moves (x, y) to (x - y sin s, y cos s).
    """
    x, y = width * 0.5 + 0.5, height * 0.5 + 0.5
    angle, slant = math.radians(degrees), math.radians(shear)
    unit = 1.0 / ((math.cos(angle) * math.cos(angle + slant) + math.sin(angle) * math.sin(angle + slant)) * scale)
    a, b = math.cos(angle + slant) * unit, math.sin(angle + slant) * unit
    d, e = -math.sin(angle) * unit, math.cos(angle) * unit
    return a, b, a * -x + b * -y + x, d, e, d * -x + e * -y + y


def resample_affine(pixels: Tensor, affine: Affine, *, height: int, width: int) -> Tensor:
    """Bilinear, 0 outside, truncated: bit for bit Pillow's Image.transform(size, AFFINE, affine, BILINEAR).

    Args:
        pixels: (H * W + 1, M) uint8, of `pixels_first`.
        affine: from output to input, in pixels; the centre of the first pixel is (0.5, 0.5).
        height: H.
        width: W.

    Returns:
        (H * W, M) uint8.
    """
    sources, right, down = _affine_taps(affine, height, width, pixels.device)
    out = pixels.new_empty(height * width, pixels.shape[1])
    for block in _blocks(out):
        # By way of float32 and int16: torch converts between uint8 and float64 several times more slowly.
        top_left, top_right, low_left, low_right = (pixels.index_select(0, source[block]).float().double() for source in sources)
        top = top_right.sub_(top_left).mul_(right[block]).add_(top_left)
        low = low_right.sub_(low_left).mul_(right[block]).add_(low_left)
        out[block] = low.sub_(top).mul_(down[block]).add_(top).to(torch.int16)
    return out


def resample_perspective(pixels: Tensor, matrix: Float64, *, height: int, width: int) -> Tensor:
    """Bilinear, 0 outside, rounded: OpenCV's warpPerspective(image, matrix, (W, H)), with its 1/32 pixel and 15-bit weights.

    Args:
        pixels: (H * W + 1, M) uint8, of `pixels_first`.
        matrix: (3, 3) from input to output, homogeneous; the centre of the first pixel is (0, 0).
        height: H.
        width: W.

    Returns:
        (H * W, M) uint8.
    """
    sources, weights = _perspective_taps(tuple(matrix.flatten().tolist()), height, width, pixels.device)
    out = pixels.new_empty(height * width, pixels.shape[1])
    for block in _blocks(out):
        # Weights are integers that sum to 2**15, so every sum is exact in float32.
        total = torch.full((), 2.0**14, device=pixels.device)
        for source, weight in zip(sources, weights, strict=True):
            total = pixels.index_select(0, source[block]).float().mul_(weight[block]).add_(total)
        out[block] = total.mul_(2.0**-15).to(torch.int16)
    return out


@functools.lru_cache(maxsize=8)
def _affine_taps(affine: Affine, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """(4, H * W) int64 input pixels, and how far to go from left to right and from top to low: each (H * W, 1) float64 in [0, 1)."""
    a, b, c, d, e, f = affine
    y, x = (grid.ravel() for grid in np.mgrid[0:height, 0:width] + 0.5)
    u, v = a * x + b * y + c, d * x + e * y + f
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    u, v = u - 0.5, v - 0.5
    left, top = np.floor(u), np.floor(v)
    columns = [np.clip(left + k, 0, width - 1).astype(np.int64) for k in (0, 1)]
    rows = [np.clip(top + k, 0, height - 1).astype(np.int64) for k in (0, 1)]
    sources = np.stack([np.where(inside, row * width + column, height * width) for row in rows for column in columns])
    places, right, down = (torch.from_numpy(part).to(device) for part in (sources, (u - left)[:, None], (v - top)[:, None]))
    return places, right, down


@functools.lru_cache(maxsize=8)
def _perspective_taps(matrix: tuple[float, ...], height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(4, H * W) int64 input pixels and (4, H * W, 1) float32 weights."""
    inverse = np.linalg.inv(np.array(matrix).reshape(3, 3))
    y, x = np.mgrid[0:height, 0:width]
    u, v, w = np.tensordot(inverse, np.stack([x, y, np.ones_like(x)]), axes=1)
    u, v = (np.rint(32 * part / w).astype(np.int64).ravel() for part in (u, v))
    sources, weights = [], []
    for down in (0, 1):
        for right in (0, 1):
            row, column = (v >> 5) + down, (u >> 5) + right
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            share = np.abs(32 * (1 - right) - (u & 31)) * np.abs(32 * (1 - down) - (v & 31)) * 32
            sources.append(np.where(inside, row * width + column, height * width))
            weights.append(share.astype(np.float32)[:, None])
    return torch.from_numpy(np.stack(sources)).to(device), torch.from_numpy(np.stack(weights)).to(device)


def _blocks(out: Tensor) -> list[slice]:
    step = max(1, _BLOCK // max(1, out.shape[1])) if out.device.type == "cpu" else len(out)
    return [slice(start, start + step) for start in range(0, len(out), step)]
