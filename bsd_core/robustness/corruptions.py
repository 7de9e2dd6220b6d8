"""Corruptions of CIFAR-C, in batches, on the device of the images, with nothing on disk.

uint8 batch in, uint8 batch out, values truncated (not rounded) as the reference does. Every corrupted pixel is a function of
(seed, corruption, severity, image index), whatever the batch size, order, process or device.

Source: Hendrycks & Dietterich, ICLR 2019; parameters and pipeline of their `make_cifar_c.py`, the table for small images, which is
used at every size. Grey images are treated as one channel; a grey pixel's HSV value is the pixel itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from bsd_core.errors import require, unknown_name
from bsd_core.robustness.random_fields import RandomField
from bsd_core.robustness.separable import Float64, box_resize_matrix, gaussian_blur_matrix

SEVERITIES: Final = (1, 2, 3, 4, 5)
_CHUNK: Final = 256  # images at a time: the float64 working set then fits a CPU's cache and memory stays flat

Corruption = Callable[[Tensor, int, "RandomField"], Tensor]


def corrupt(images: Tensor, name: str, severity: int, *, seed: int, indices: Tensor) -> Tensor:
    """Corrupt a batch.

    Args:
        images: (N, C, H, W) uint8, C is 1 or 3 (RGB).
        name: one of `CORRUPTIONS`.
        severity: 1 to 5.
        seed: of the evaluation; part of the key of every random number.
        indices: (N,) integers, each image's index in its split: the other part.

    Returns:
        (N, C, H, W) uint8 on the device of `images`.

    Raises:
        ConfigError: unknown name, severity outside 1 to 5.
        ValueError: images of another type or shape, or indices that do not match.
    """
    if name not in CORRUPTIONS:
        raise unknown_name("corruption", name, CORRUPTIONS)
    require(type(severity) is int and severity in SEVERITIES, "severity is 1, 2, 3, 4 or 5", severity=severity)
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"Expected uint8 images of shape (N, C, H, W) with C = 1 or 3, but got {images.dtype} {tuple(images.shape)}.")
    indices = torch.as_tensor(indices, device=images.device)
    if indices.shape != images.shape[:1] or indices.is_floating_point():
        raise ValueError(f"Expected one integer index an image, shape ({len(images)},), but got {indices.dtype} {tuple(indices.shape)}.")
    function = _FUNCTIONS[name]
    out = torch.empty_like(images, memory_format=torch.contiguous_format)
    for start in range(0, len(images), _CHUNK):
        rows = slice(start, start + _CHUNK)
        field = RandomField(seed, name, severity, indices=indices[rows])
        out[rows] = function(images[rows], severity - 1, field)
    return out


def _to_uint8(x: Tensor) -> Tensor:
    """[0, 1] floats, clipped, to grey levels by truncation, as NumPy's cast in the reference."""
    return x.clamp(0.0, 1.0).mul_(255.0).to(torch.uint8)


def _apply_separable(x: Tensor, rows: Float64, columns: Float64) -> Tensor:
    """rows @ x @ columns.T for each image and channel, in float64."""
    vertical = torch.from_numpy(rows).to(x.device)
    horizontal = torch.from_numpy(columns).to(x.device)
    return vertical @ (x.double() @ horizontal.T)


def _gaussian_noise(images: Tensor, level: int, field: RandomField) -> Tensor:
    sigma = (0.04, 0.06, 0.08, 0.09, 0.10)[level]
    noise = field.normal(images[0].numel()).reshape(images.shape)
    return _to_uint8(noise.mul_(sigma).add_(images.float() / 255.0))


def _gaussian_blur(images: Tensor, level: int, field: RandomField) -> Tensor:
    sigma = (0.4, 0.6, 0.7, 0.8, 1.0)[level]
    rows, columns = (gaussian_blur_matrix(size, sigma) for size in images.shape[2:])
    return _to_uint8(_apply_separable(images.double() / 255.0, rows, columns))


def _brightness(images: Tensor, level: int, field: RandomField) -> Tensor:
    amount = (0.05, 0.1, 0.15, 0.2, 0.3)[level]
    x = images.double() / 255.0
    if images.shape[1] == 1:
        return _to_uint8(x + amount)
    hue, saturation, value = _rgb_to_hsv(x)
    return _to_uint8(_hsv_to_rgb(hue, saturation, (value + amount).clamp(0.0, 1.0)))


def _contrast(images: Tensor, level: int, field: RandomField) -> Tensor:
    amount = (0.75, 0.5, 0.4, 0.3, 0.15)[level]
    x = images.double() / 255.0
    # A running sum in pixel order: the order in which NumPy's mean over two leading axes adds, to the last bit.
    mean = x.flatten(2).cumsum(2)[:, :, -1:, None] / x[0, 0].numel()
    return _to_uint8((x - mean) * amount + mean)


def _pixelate(images: Tensor, level: int, field: RandomField) -> Tensor:
    amount = (0.95, 0.9, 0.85, 0.75, 0.65)[level]
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


def _rgb_to_hsv(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N, 3, H, W) float64 in [0, 1] -> hue, saturation, value, each (N, H, W); operation by operation as scikit-image."""
    red, green, blue = x.unbind(1)
    value = x.amax(1)
    delta = value - x.amin(1)
    grey = delta == 0
    saturation = torch.where(grey, 0.0, delta / value)
    # Where several channels are the largest, the last rule wins.
    hue = torch.where(red == value, (green - blue) / delta, 0.0)
    hue = torch.where(green == value, 2.0 + (blue - red) / delta, hue)
    hue = torch.where(blue == value, 4.0 + (red - green) / delta, hue)
    hue = torch.where(grey, 0.0, torch.remainder(hue / 6.0, 1.0))
    return hue, saturation, value


def _hsv_to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """The inverse of `_rgb_to_hsv`: (N, 3, H, W)."""
    sector = torch.floor(hue * 6.0)
    fraction = hue * 6.0 - sector
    low = value * (1.0 - saturation)
    falling = value * (1.0 - fraction * saturation)
    rising = value * (1.0 - (1.0 - fraction) * saturation)
    choices = torch.stack(
        [
            torch.stack([value, falling, low, low, rising, value], dim=1),
            torch.stack([rising, value, value, falling, low, low], dim=1),
            torch.stack([low, low, rising, value, value, falling], dim=1),
        ],
        dim=1,
    )  # (N, 3, 6, H, W)
    which = (sector.to(torch.int64) % 6)[:, None, None].expand(-1, 3, 1, -1, -1)
    return choices.gather(2, which)[:, :, 0]


_FUNCTIONS: Final[dict[str, Corruption]] = {
    "gaussian_noise": _gaussian_noise,
    "brightness": _brightness,
    "contrast": _contrast,
    "pixelate": _pixelate,
    "gaussian_blur": _gaussian_blur,
}
CORRUPTIONS: Final[tuple[str, ...]] = tuple(_FUNCTIONS)  # in the order of the reference
