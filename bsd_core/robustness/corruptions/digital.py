"""Corruptions of colour, contrast, resolution and shape."""

from __future__ import annotations

import torch
from torch import Tensor

from bsd_core.robustness.colour import change_hsv
from bsd_core.robustness.jpeg import jpeg_round_trip
from bsd_core.robustness.pixels import to_uint8
from bsd_core.robustness.random_fields import RandomField
from bsd_core.robustness.separable import box_resize_matrix


def brightness(images: Tensor, amount: float, field: RandomField) -> Tensor:
    """V + amount in HSV; of a grey image, the pixel + amount."""
    if images.shape[1] == 1:
        return to_uint8((images.double() / 255.0).add_(amount))
    return change_hsv(images, value=lambda value: value.add_(amount).clamp_(0.0, 1.0))


def saturate(images: Tensor, amounts: tuple[float, float], field: RandomField) -> Tensor:
    """S * scale + shift in HSV, clipped. A shift reddens grey pixels of colour images, as in the reference; images of one channel stay."""
    scale, shift = amounts
    if images.shape[1] == 1:
        return images.clone()
    return change_hsv(images, saturation=lambda saturation: saturation.mul_(scale).add_(shift).clamp_(0.0, 1.0))


def contrast(images: Tensor, amount: float, field: RandomField) -> Tensor:
    """(x - mean) * amount + mean, with the mean of each channel."""
    x = images.double() / 255.0
    # A running sum in pixel order: the order in which NumPy's mean over two leading axes adds, to the last bit.
    mean = x.flatten(2).cumsum(2)[:, :, -1:, None] / x[0, 0].numel()
    return to_uint8(x.sub_(mean).mul_(amount).add_(mean))


def pixelate(images: Tensor, amount: float, field: RandomField) -> Tensor:
    """To the share `amount` of the side and back, bit for bit as Pillow's BOX filter."""
    height, width = images.shape[2:]
    small_height, small_width = max(1, int(height * amount)), max(1, int(width * amount))
    x = _box_means(images.float(), small_width)
    x = _box_means(x.mT, small_height).mT.to(torch.uint8)
    return _repeat(_repeat(x, 2, height), 3, width)


def _box_means(x: Tensor, size: int) -> Tensor:
    """Shrink the last side, (..., W) -> (..., size), by means of whole pixels, rounded to grey levels as Pillow's fixed point does."""
    matrix = torch.from_numpy(box_resize_matrix(x.shape[-1], size))
    # Sums of grey levels are exact in float32, and so is their rounding for means of up to 160 pixels.
    sums = x @ (matrix > 0).to(x).T
    return sums.mul_((matrix.amax(1) * 2**-22).to(x)).add_(0.5).floor_().clamp_(max=255.0)


def _repeat(x: Tensor, dim: int, size: int) -> Tensor:
    """Enlarge a side: each new pixel shows one old pixel."""
    source = torch.from_numpy(box_resize_matrix(x.shape[dim], size)).argmax(1)
    return x.index_select(dim, source.to(x.device))


def jpeg_compression(images: Tensor, quality: int, field: RandomField) -> Tensor:
    """A JPEG round trip at a quality of 1 to 100, as Pillow's."""
    return jpeg_round_trip(images, quality)
