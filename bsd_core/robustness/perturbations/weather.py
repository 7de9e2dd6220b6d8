"""Sequences of snow, light, and water that runs down. One random layer a sequence."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from bsd_core.robustness.corruptions.digital import brightness as brighten
from bsd_core.robustness.corruptions.spatter import add_water, grey_levels, liquid_layer
from bsd_core.robustness.corruptions.weather import add_flakes, whitened
from bsd_core.robustness.liquid import water_mask
from bsd_core.robustness.motion import motion_blur
from bsd_core.robustness.perturbations.keys import N_FRAMES, Keys
from bsd_core.robustness.pixels import to_uint8
from bsd_core.robustness.separable import apply_separable, clipped_zoom_matrix


def brightness(images: Tensor, parameter: None, keys: Keys) -> Iterator[Tensor]:
    """Frame i has 3 (i - 15) / 200 more value in HSV."""
    for i in range(N_FRAMES):
        yield brighten(images, (i - 15) * 3 / 200, keys.field())


def snow(images: Tensor, parameter: None, keys: Keys) -> Iterator[Tensor]:
    """A whitened image and flakes that fall along 4 i - 150 degrees, added twice: as they are and turned by 180 degrees.

    The flakes are N(0.05, 0.3) noise, zoomed by 2, 0 below 0.5, blurred by a trail of spread 2.
    """
    n, _, height, width = images.shape
    noise = keys.field("flakes").normal(height * width).view(n, 1, height, width).double().mul_(0.3).add_(0.05)
    flakes = apply_separable(noise, clipped_zoom_matrix(height, 2), clipped_zoom_matrix(width, 2))
    flakes = to_uint8(flakes.masked_fill_(flakes < 0.5, 0.0))

    white = whitened(images, keep=0.85)
    for i in range(N_FRAMES):
        degrees = torch.full((n,), 4.0 * i - 150.0, device=images.device)
        yield add_flakes(white, motion_blur(flakes, radius=10, sigma=2, degrees=degrees))


def spatter(images: Tensor, parameter: None, keys: Keys) -> Iterator[Tensor]:
    """Water whose layer moves down by 0.8 pixels a frame: each row becomes 0.2 of itself and 0.8 of the row above."""
    layer = liquid_layer(images, 0.6, 0.265, 1.75, 0.7, keys.field("layer"))
    for i in range(N_FRAMES):
        if i:
            above = torch.zeros_like(layer)
            above[:, 1:] = layer[:, :-1]
            layer = layer.mul_(0.2).add_(above.mul_(0.8))
        mask = water_mask(grey_levels(layer).permute(1, 2, 0).contiguous()).mul_(0.6)
        yield add_water(images, mask.permute(2, 0, 1))
