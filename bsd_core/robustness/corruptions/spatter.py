"""Drops of water or mud on the lens."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.robustness.colour import LUMA
from bsd_core.robustness.liquid import water_mask
from bsd_core.robustness.random_fields import RandomField
from bsd_core.robustness.separable import apply_separable, gaussian_blur_matrix

WATER: Final = (175.0, 238.0, 238.0)  # R, G, B: pale turquoise
MUD: Final = (63.0, 42.0, 20.0)


def spatter(images: Tensor, parameter: tuple[float, float, float, float, float, int], field: RandomField) -> Tensor:
    """Water (mode 0) that adds light, or mud (mode 1) that hides, where a blurred random layer is high.

    Args:
        images: (N, C, H, W) uint8; a grey image gets the grey value of the colour.
        parameter: mean and spread of the layer, its blur in pixels, the level above which a pixel is wet, the weight of the water (or
            the blur of the mud, in pixels), and the mode.
        field: the random numbers, one a pixel.
    """
    mean, spread, blur, threshold, weight, mode = parameter
    layer = liquid_layer(images, mean, spread, blur, threshold, field)
    if mode == 0:
        mask = water_mask(grey_levels(layer).permute(1, 2, 0).contiguous()).mul_(weight)
        return add_water(images, mask.permute(2, 0, 1))
    rows, columns = (gaussian_blur_matrix(size, weight) for size in layer.shape[1:])
    mask = apply_separable((layer > threshold).double(), rows, columns)
    mask = mask.masked_fill_(mask < 0.8, 0.0).float()
    x = images.float().mul_(1.0 - mask[:, None])
    return x.addcmul_(mask[:, None], _colour(MUD, images)).clamp_(0.0, 255.0).to(torch.uint8)


def liquid_layer(images: Tensor, mean: float, spread: float, blur: float, threshold: float, field: RandomField) -> Tensor:
    """Gaussian noise of one value a pixel, blurred, 0 below the threshold: (N, H, W) float64."""
    n, _, height, width = images.shape
    # In float64, so that no value comes near enough to the threshold to fall on its other side in another batch or on another device.
    noise = field.normal(height * width).view(n, height, width).double()
    rows, columns = (gaussian_blur_matrix(size, blur) for size in (height, width))
    layer = apply_separable(noise, rows, columns).mul_(spread).add_(mean)
    return functional.threshold(layer, threshold, 0.0, inplace=True)


def grey_levels(layer: Tensor) -> Tensor:
    """The layer in 8 bits: truncated, and above 255 it starts again at 0, as NumPy's cast in the reference; int16."""
    return (layer * 255.0).to(torch.int16).bitwise_and_(255)


def add_water(images: Tensor, mask: Tensor) -> Tensor:
    """x + mask * colour, clipped: (N, C, H, W) uint8 and (N, H, W) float32."""
    x = images.float().addcmul_(mask[:, None].contiguous(), _colour(WATER, images))
    return x.clamp_(max=255.0).to(torch.uint8)


def _colour(colour: tuple[float, float, float], images: Tensor) -> Tensor:
    """(C, 1, 1) grey levels: the colour, or its luma where the images are grey."""
    if images.shape[1] == 1:
        colour_grey = sum(share * value for share, value in zip(LUMA, colour, strict=True))
        return torch.tensor([colour_grey], device=images.device)[:, None, None]
    return torch.tensor(colour, device=images.device)[:, None, None]
