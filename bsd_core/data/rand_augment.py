"""RandAugment-lite: two random operations an image, for whole batches, on the device the images are on.

Cubuk et al., NeurIPS Workshops 2020; ranges of torchvision's `RandAugment` (which are AutoAugment's).

Same as the paper: operations drawn uniformly with replacement, one magnitude for all, signs at random, each operation rounds to uint8,
pixels that come from outside the image are 0.

Different from the paper ("lite"):
- twelve of its fourteen operations: no equalise and no sharpness, which are no choice of parameters of the pipeline below;
- a magnitude of 0 to 10 as in AutoAugment, 10 being the full range, which torchvision divides in 31 steps;
- shears turn about the centre of the image, not about a corner;
- solarise inverts from 256 * (1 - magnitude / 10) on, so that magnitude 0 would change nothing.

Every image runs through one pipeline, linear in the grey levels, then bits, then geometry, and its operation only chooses the parameters:
no image need be singled out, so on a GPU the host never waits to know what was drawn. On a CPU, which knows it anyway, each part of the
pipeline is given only the images that it changes.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

OPERATIONS = (
    "identity",
    "auto_contrast",
    "brightness",
    "contrast",
    "saturation",
    "posterize",
    "solarize",
    "translate_x",
    "translate_y",
    "shear_x",
    "shear_y",
    "rotate",
)
_CODES = {name: code for code, name in enumerate(OPERATIONS)}


def rand_augment(images: Tensor, magnitude: int, generator: torch.Generator, *, n_operations: int = 2) -> Tensor:
    """`n_operations` random operations on each image, one after the other.

    Args:
        images: (N, C, H, W) uint8.
        magnitude: 0 to 10.
        generator: on the device of `images`.

    Returns:
        (N, C, H, W) uint8.
    """
    n, device = len(images), images.device
    for _ in range(n_operations):
        operations = torch.randint(len(OPERATIONS), (n,), device=device, generator=generator)
        signs = 2 * torch.randint(2, (n,), device=device, generator=generator) - 1
        images = apply_operations(images, operations, signs * (magnitude / 10))
    return images


def apply_operations(images: Tensor, operations: Tensor, strengths: Tensor) -> Tensor:
    """One operation on each image; with x its grey levels and s its strength.

        auto_contrast          each channel stretched to 0..255
        brightness             (1 + 0.9 s) x
        contrast, saturation   x moved away from the image's mean grey, from each pixel's grey, by the factor 1 + 0.9 s
        posterize              the lowest round(4 |s|) bits are 0
        solarize               x -> 255 - x where x >= 256 (1 - |s|)
        translate_x, _y        by round(s * 150/331 of the side) pixels, to the right and downwards where s > 0
        shear_x, _y            by 0.3 s
        rotate                 by 30 s degrees

    Grey is ITU-R 601-2 luma of RGB, else the mean of the channels; so saturation leaves images of one channel as they are.

    Args:
        images: (N, C, H, W) uint8.
        operations: (N,) int64, places in `OPERATIONS`.
        strengths: (N,) float32 in [-1, 1].

    Returns:
        (N, C, H, W) uint8.
    """
    images = images.clone()
    for names, change in _KINDS:
        rows = _rows_of(names, operations)
        images[rows] = change(images[rows], operations[rows], strengths[rows])
    return images


def _rows_of(names: tuple[str, ...], operations: Tensor) -> Tensor | slice:
    """Images whose operation is among `names`; on a GPU all of them, since to count them there would wait for it."""
    if operations.device.type != "cpu":
        return slice(None)
    return torch.isin(operations, torch.tensor([_CODES[name] for name in names])).nonzero()[:, 0]


def to_uint8(floats: Tensor) -> Tensor:
    """The nearest grey levels."""
    return floats.round_().clamp_(0, 255).to(torch.uint8)


def _stretched(images: Tensor, operations: Tensor, strengths: Tensor) -> Tensor:
    """scale * x + tint * grey + shift, with scale and shift for each channel."""
    floats = images.float()
    grey = _grey(floats)
    low, high = floats.amin((2, 3), keepdim=True), floats.amax((2, 3), keepdim=True)  # (N, C, 1, 1)
    factor = _spread(1 + 0.9 * strengths)
    is_auto, is_contrast, is_saturation = (_is(name, operations) for name in ("auto_contrast", "contrast", "saturation"))
    is_auto = is_auto & (high > low)  # a flat channel stays
    scale = torch.where(_is("brightness", operations) | is_contrast | is_saturation, factor, 1.0)
    scale = torch.where(is_auto, 255 / (high - low).clamp_min(1), scale)
    shift = torch.where(is_contrast, (1 - factor) * grey.mean((1, 2, 3), keepdim=True), 0.0)
    shift = torch.where(is_auto, -low * scale, shift)
    tint = torch.where(is_saturation, 1 - factor, 0.0)
    return to_uint8(torch.addcmul(torch.addcmul(shift, floats, scale), grey, tint))


def _quantised(images: Tensor, operations: Tensor, strengths: Tensor) -> Tensor:
    strengths = _spread(strengths.abs())
    n_bits = torch.where(_is("posterize", operations), (4 * strengths).round(), 0.0)
    images = images & (256 - 2**n_bits).to(torch.uint8)
    threshold = torch.where(_is("solarize", operations), 256 * (1 - strengths), 256.0)
    return torch.where(images >= threshold, 255 - images, images)


def _moved(images: Tensor, operations: Tensor, strengths: Tensor) -> Tensor:
    """Each output pixel from the nearest pixel of the place it comes from: one gather for the batch."""
    n, _, height, width = images.shape
    strengths = _spread(strengths)[..., 0]  # (N, 1, 1)
    amount = {name: torch.where(_is(name, operations)[..., 0], strengths, 0.0) for name in OPERATIONS[_CODES["translate_x"] :]}
    angle = amount["rotate"] * (torch.pi / 6)
    y = torch.arange(height, device=images.device, dtype=torch.float32)[:, None] - (height - 1) / 2  # from the centre
    x = torch.arange(width, device=images.device, dtype=torch.float32) - (width - 1) / 2
    from_x = angle.cos() * x + (0.3 * amount["shear_x"] - angle.sin()) * y - (amount["translate_x"] * (width * 150 / 331)).round()
    from_y = angle.cos() * y + (0.3 * amount["shear_y"] + angle.sin()) * x - (amount["translate_y"] * (height * 150 / 331)).round()
    columns, rows = (from_x + width / 2).floor().long(), (from_y + height / 2).floor().long()  # (N, H, W)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    batch = torch.arange(n, device=images.device)[:, None, None]
    pixels = images.permute(0, 2, 3, 1)[batch, rows.clamp(0, height - 1), columns.clamp(0, width - 1)]  # (N, H, W, C)
    return (pixels * inside[..., None]).permute(0, 3, 1, 2)


def _grey(floats: Tensor) -> Tensor:
    if floats.shape[1] != 3:
        return floats.mean(1, keepdim=True)
    red, green, blue = floats.unbind(1)
    return (0.299 * red + 0.587 * green + 0.114 * blue).round_()[:, None]


def _is(name: str, operations: Tensor) -> Tensor:
    return _spread(operations == _CODES[name])


def _spread(values: Tensor) -> Tensor:
    return values[:, None, None, None]  # (N, 1, 1, 1)


_KINDS: Final = (
    (("auto_contrast", "brightness", "contrast", "saturation"), _stretched),
    (("posterize", "solarize"), _quantised),
    (("translate_x", "translate_y", "shear_x", "shear_y", "rotate"), _moved),
)
