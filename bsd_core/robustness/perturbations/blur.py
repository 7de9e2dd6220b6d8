"""Sequences that blur. Deterministic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from bsd_core.robustness.corruptions.blur import blur_separably
from bsd_core.robustness.motion import motion_blur as blur_along
from bsd_core.robustness.perturbations.keys import N_FRAMES, Keys
from bsd_core.robustness.resampling import affine_about_center, images_first, pixels_first, resample_affine
from bsd_core.robustness.separable import gaussian_weights

N_ANGLES: Final = 21


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
        yield blur_separably(images, gaussian_weights(0.3 + i * 0.015, truncate=7.0))
