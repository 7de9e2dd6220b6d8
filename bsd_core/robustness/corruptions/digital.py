"""Corruptions of colour, contrast and resolution."""

from __future__ import annotations

import torch
from torch import Tensor

from bsd_core.robustness.colour import hsv_to_rgb, rgb_to_hsv
from bsd_core.robustness.pixels import to_uint8
from bsd_core.robustness.random_fields import RandomField
from bsd_core.robustness.separable import box_resize_matrix


def brightness(images: Tensor, amount: float, field: RandomField) -> Tensor:
    """V + amount in HSV; of a grey image, the pixel + amount."""
    x = images.double() / 255.0
    if images.shape[1] == 1:
        return to_uint8(x + amount)
    hue, saturation, value = rgb_to_hsv(x)
    return to_uint8(hsv_to_rgb(hue, saturation, (value + amount).clamp(0.0, 1.0)))


def contrast(images: Tensor, amount: float, field: RandomField) -> Tensor:
    """(x - mean) * amount + mean, with the mean of each channel."""
    x = images.double() / 255.0
    # A running sum in pixel order: the order in which NumPy's mean over two leading axes adds, to the last bit.
    mean = x.flatten(2).cumsum(2)[:, :, -1:, None] / x[0, 0].numel()
    return to_uint8((x - mean) * amount + mean)


def pixelate(images: Tensor, amount: float, field: RandomField) -> Tensor:
    """To the share `amount` of the side and back, by Pillow's BOX filter."""
    height, width = images.shape[2:]
    small = max(1, int(height * amount)), max(1, int(width * amount))
    return _box_resize(_box_resize(images, *small), height, width)


def _box_resize(images: Tensor, height: int, width: int) -> Tensor:
    """Pillow's BOX resize of uint8: columns, then rows, each pass rounded to grey levels."""

    def round_shift(x: Tensor) -> Tensor:
        return ((x + 2**21) / 2**22).floor_().clamp_(0, 255)

    horizontal = torch.from_numpy(box_resize_matrix(images.shape[3], width)).to(images.device)
    vertical = torch.from_numpy(box_resize_matrix(images.shape[2], height)).to(images.device)
    narrowed = round_shift(images.double() @ horizontal.T)
    return round_shift(vertical @ narrowed).to(torch.uint8)
