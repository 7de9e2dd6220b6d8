"""The corruptions of CIFAR-C, in batches, on the device of the images, with nothing on disk.

uint8 batch in, uint8 batch out, values truncated (not rounded) as the reference does. Every corrupted pixel is a function of
(seed, corruption, severity, image index), whatever the batch size, order, process or device. Strengths are the reference's, by image size:
see `severities`. Grey images are treated as one channel; a grey pixel's HSV value is the pixel itself.

Source: Hendrycks & Dietterich, ICLR 2019; algorithms of their `make_cifar_c.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor

from bsd_core.errors import unknown_name
from bsd_core.robustness.arguments import check_images, check_seed, check_severity
from bsd_core.robustness.corruptions import blur, digital, noise, spatter, weather
from bsd_core.robustness.corruptions.severities import SEVERITIES, strength
from bsd_core.robustness.frost_textures import FrostTextures
from bsd_core.robustness.names import CORRUPTIONS, EXTRA, MAIN
from bsd_core.robustness.random_fields import RandomField

_FUNCTIONS: Final[dict[str, Callable[[Tensor, Any, RandomField], Tensor]]] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "zoom_blur": blur.zoom_blur,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "brightness": digital.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
    "speckle_noise": noise.speckle_noise,
    "gaussian_blur": blur.gaussian_blur,
    "spatter": spatter.spatter,
    "saturate": digital.saturate,
}

__all__ = ["CORRUPTIONS", "EXTRA", "MAIN", "SEVERITIES", "chunks", "corrupt"]

# Values at a time. On a CPU the working set of most corruptions then fits its cache, and memory stays flat; a GPU wants long launches.
_VALUES_ON_CPU: Final = 2**20
_VALUES_ON_GPU: Final = 2**25


def corrupt(images: Tensor, name: str, severity: int, *, seed: int, indices: Tensor, frost: FrostTextures | None = None) -> Tensor:
    """Corrupt a batch.

    Args:
        images: (N, C, H, W) uint8, C is 1 or 3 (RGB).
        name: one of `CORRUPTIONS`.
        severity: 1 to 5.
        seed: of the evaluation; part of the key of every random number.
        indices: (N,) integers, each image's index in its split: the other part.
        frost: the pictures of the corruption "frost"; by default those of `FrostTextures.procedural()`. No other corruption looks at it.

    Returns:
        (N, C, H, W) uint8 on the device of `images`.

    Raises:
        ConfigError: unknown name, severity outside 1 to 5.
        ValueError: images of another type or shape, or indices that do not match.
        DataError: the pictures of frost are smaller than the images.
    """
    if name not in CORRUPTIONS:
        raise unknown_name("corruption", name, CORRUPTIONS)
    severity, seed = check_severity(severity), check_seed(seed)
    indices = check_images(images, indices)
    parameter = strength(name, severity, height=images.shape[2], width=images.shape[3])
    function = partial(weather.frost, textures=frost) if name == "frost" else _FUNCTIONS[name]
    out = torch.empty_like(images, memory_format=torch.contiguous_format)
    for rows in chunks(images):
        field = RandomField(seed, name, severity, indices=indices[rows])
        out[rows] = function(images[rows].contiguous(), parameter, field)
    return out


def chunks(images: Tensor) -> list[slice]:
    """Rows that are worked on together; no result depends on it."""
    values = _VALUES_ON_CPU if images.device.type == "cpu" else _VALUES_ON_GPU
    step = max(1, values // max(1, images[:1].numel()))
    return [slice(start, start + step) for start in range(0, len(images), step)]
