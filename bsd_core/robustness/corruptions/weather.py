"""Snow, frost and fog."""

from __future__ import annotations

import torch
from torch import Tensor

from bsd_core.robustness.plasma import plasma_fractal, plasma_side
from bsd_core.robustness.random_fields import RandomField


def fog(images: Tensor, parameter: tuple[float, float], field: RandomField) -> Tensor:
    """(x + amount * clouds) * max / (max + amount): a plasma fractal over the image, scaled so that its brightest value stays.

    Args:
        images: (N, C, H, W) uint8; max is the largest value of an image over all its channels.
        parameter: amount of fog, and the decay of `plasma_fractal`, whose top left corner of H x W pixels is used.
        field: of the images.
    """
    amount, decay = 255.0 * parameter[0], parameter[1]
    height, width = images.shape[2:]
    clouds = plasma_fractal(field, plasma_side(height, width), decay)[:, None, :height, :width]
    brightest = images.flatten(1).amax(1).to(torch.float32)[:, None, None, None]
    # At most `brightest`, so nothing is to be clipped.
    return images.to(torch.float32).add_(clouds, alpha=amount).mul_(brightest / (brightest + amount)).to(torch.uint8)
