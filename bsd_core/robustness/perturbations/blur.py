"""Sequences that blur. Deterministic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from torch import Tensor

from bsd_core.robustness.motion import motion_blur as blur_along
from bsd_core.robustness.perturbations.keys import Keys
from bsd_core.robustness.resampling import affine_about_center, images_first, pixels_first, resample_affine

N_FRAMES: Final = 31
N_ANGLES: Final = 21
_BLOCK: Final = 2**15  # values


def motion_blur(images: Tensor, parameter: None, keys: Keys) -> Iterator[Tensor]:
    """A trail of spread 1.8 pixels that turns from -180 to 0 degrees; 21 frames."""
    for i in range(N_ANGLES):
        degrees = torch.full((len(images),), 9.0 * (i - 20), device=images.device)
        yield blur_along(images, radius=6, sigma=1.8, degrees=degrees)


def zoom_blur(images: Tensor, parameter: None, keys: Keys) -> Iterator[Tensor]:
    """Frame i is the mean of the image at scales 1, 1.004, ..., 1 + 0.004 i, in float32."""
    height, width = images.shape[2:]
    pixels = pixels_first(images)
    total = torch.zeros(height * width, pixels.shape[1], device=images.device)
    for i in range(N_FRAMES):
        affine = affine_about_center(height=height, width=width, scale=1 + 0.004 * i)
        total += resample_affine(pixels, affine, height=height, width=width).float().div_(255.0)
        yield images_first((total / (i + 1)).mul_(255.0).clamp_(max=255.0).to(torch.uint8), images.shape)


def gaussian_blur(images: Tensor, parameter: None, keys: Keys) -> Iterator[Tensor]:
    """Frame i is blurred by 0.3 + 0.015 i pixels, border replicated, cut at 7 spreads."""
    for i in range(N_FRAMES):
        sigma = 0.3 + i * 0.015
        out = torch.empty_like(images, memory_format=torch.contiguous_format)
        for rows in _blocks(images):
            x = images[rows].permute(2, 3, 0, 1).contiguous().float().double().div_(255.0)
            x = _gaussian_filter(_gaussian_filter(x, sigma, axis=0), sigma, axis=1)
            out[rows] = x.clamp_(0.0, 1.0).mul_(255.0).to(torch.int16).permute(2, 3, 0, 1)
        yield out


def _gaussian_filter(x: Tensor, sigma: float, *, axis: int) -> Tensor:
    """A Gaussian filter along one axis, in the order of SciPy's sum: the middle, then pairs from the outside in.

    The order matters: where an area is even, the sum is a whole grey level but for its last bit, which truncation makes visible.
    """
    size, radius = x.shape[axis], int(7 * sigma + 0.5)
    kernel = np.exp(-0.5 / (sigma * sigma) * np.arange(-radius, radius + 1) ** 2)
    weights = (kernel / kernel.sum()).tolist()
    places = torch.arange(-radius, size + radius, device=x.device).clamp_(0, size - 1)
    padded = x.index_select(axis, places)
    out: Tensor = x * weights[radius]
    for tap in range(radius):
        pair = padded.narrow(axis, tap, size) + padded.narrow(axis, 2 * radius - tap, size)
        out.add_(pair.mul_(weights[tap]))
    return out


def _blocks(images: Tensor) -> list[slice]:
    """Images that are blurred together, so that they stay in a CPU's cache."""
    step = max(1, _BLOCK // max(1, images[:1].numel())) if images.device.type == "cpu" else len(images)
    return [slice(start, start + step) for start in range(0, len(images), step)]
