"""Corruptions that add noise to every value."""

from __future__ import annotations

from torch import Tensor

from bsd_core.robustness.pixels import to_uint8
from bsd_core.robustness.random_fields import RandomField


def gaussian_noise(images: Tensor, sigma: float, field: RandomField) -> Tensor:
    """x + N(0, sigma) for every value, x in [0, 1]."""
    noise = field.normal(images[0].numel()).reshape(images.shape)
    return to_uint8(noise.mul_(sigma).add_(images.float() / 255.0))
