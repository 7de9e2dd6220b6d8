"""From [0, 1] floats to grey levels, and in how large pieces images are worked on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from torch import Tensor, uint8

_BLOCK_ON_CPU: Final = 2**17  # values: a handful of float arrays of that size stay in a core's cache
_BLOCK_ON_GPU: Final = 2**25  # a GPU wants long launches


def to_uint8(x: Tensor) -> Tensor:
    """[0, 1] floats, clipped, to grey levels by truncation, as NumPy's cast in the reference. Overwrites `x`."""
    return x.clamp_(0.0, 1.0).mul_(255.0).to(uint8)


def blocks(images: Tensor) -> Iterator[slice]:
    """Slices of images to pass over many times; no result depends on their length."""
    values = _BLOCK_ON_CPU if images.device.type == "cpu" else _BLOCK_ON_GPU
    step = max(1, values // max(1, images[:1].numel()))
    return (slice(start, start + step) for start in range(0, len(images), step))


def rows_of_plane(plane: Tensor, height: int, width: int, stride: int) -> Tensor:
    """The images in flat planes whose rows start `stride` values apart: (N, C, (H - 1) stride + W) -> (N, C, H, W), a view.

    In a plane of padded rows a shift in any direction is a slice, and sums of shifted planes run through memory without a break.
    """
    per_image, per_channel, per_value = plane.stride()
    return plane.as_strided((*plane.shape[:2], height, width), (per_image, per_channel, stride * per_value, per_value))
