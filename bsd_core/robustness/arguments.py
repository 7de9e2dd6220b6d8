"""What callers hand to corruptions and perturbations, checked in one place."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor

from bsd_core.errors import ConfigError


def check_images(images: Any, indices: Any) -> Tensor:
    """The indices, on the device of the images.

    Raises:
        ValueError: images that are not a uint8 tensor (N, C, H, W) with C = 1 or 3 and pixels; indices that are not one integer an image.
    """
    if not isinstance(images, Tensor):
        raise ValueError(f"Expected images as a tensor, but got {type(images).__name__}. An array becomes one by torch.from_numpy(images).")
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        hint = ""
        if images.is_floating_point():
            hint = " Pass grey levels of 0 to 255, before any normalisation."
        elif images.ndim == 4 and images.shape[3] in (1, 3):
            hint = " The channels come second: images.permute(0, 3, 1, 2)."
        raise ValueError(
            f"Expected uint8 images of shape (N, C, H, W) with C = 1 or 3, but got {images.dtype} {tuple(images.shape)}.{hint}"
        )
    if 0 in images.shape[2:]:
        raise ValueError(f"Expected images with pixels, but got {tuple(images.shape)}.")
    expected = f"Expected one integer index an image, shape ({len(images)},), but got"
    try:
        places: Tensor = torch.as_tensor(indices, device=images.device)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{expected} {type(indices).__name__}.") from None
    if places.shape != images.shape[:1] or places.is_floating_point() or places.is_complex() or places.dtype == torch.bool:
        raise ValueError(f"{expected} {places.dtype} {tuple(places.shape)}.")
    return places


def check_severity(severity: Any) -> int:
    """A severity as an int; NumPy's integers are taken, too.

    Raises:
        ConfigError: not a whole number from 1 to 5.
    """
    number = _whole(severity)
    if number is None or not 1 <= number <= 5:
        raise ConfigError(f"`severity is 1, 2, 3, 4 or 5` must hold, but got severity={severity!r}.")
    return number


def check_seed(seed: Any) -> int:
    """A seed as an int, so that 0, np.int64(0) and torch.tensor(0) are one seed.

    Raises:
        ConfigError: not a whole number.
    """
    number = _whole(seed)
    if number is None:
        raise ConfigError(f"A seed is a whole number, but got {seed!r}.")
    return number


def _whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None
