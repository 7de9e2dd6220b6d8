"""The perturbation sequences of CIFAR-P: short films of an image, streamed frame by frame, in batches on the device of the images.

A robust classifier gives the same answer from frame to frame. Noise has nothing to do with the frame before, so there each frame is
compared with the clean first one (`is_noise`). Every pixel is a function of (seed, perturbation, difficulty, frame, image index), whatever
the batch size, order, process or device.

Source: Hendrycks & Dietterich, ICLR 2019; algorithms of their `make_cifar_p.py`. Same as the reference: all constants, and the geometry of
torchvision 0.2.1 with which it was run. The paper's main set has snow and its validation set spatter, as here; the reference's evaluation
script has spatter in the place of snow. At other image sizes all lengths in pixels stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from bsd_core.errors import require, unknown_name
from bsd_core.robustness.arguments import check_images, check_seed
from bsd_core.robustness.corruptions import chunks
from bsd_core.robustness.names import MAIN_PERTURBATIONS, PERTURBATIONS, VALIDATION_PERTURBATIONS
from bsd_core.robustness.perturbations import blur, geometry, noise, weather
from bsd_core.robustness.perturbations.keys import N_FRAMES, Keys


@dataclass(frozen=True)
class _Sequence:
    """How a sequence is made.

    Attributes:
        make: (images, strength, keys) -> frames.
        n_frames: how many there are.
        strengths: by difficulty 1, 2, 3; only noise has more than one.
    """

    make: Callable[[Tensor, Any, Keys], Iterator[Tensor]]
    n_frames: int
    strengths: tuple[Any, ...] = (None,)
    is_noise: bool = False


_SEQUENCES: Final[dict[str, _Sequence]] = {
    "gaussian_noise": _Sequence(noise.gaussian_noise, N_FRAMES, (0.02, 0.04, 0.06), is_noise=True),
    "shot_noise": _Sequence(noise.shot_noise, N_FRAMES, (700, 400, 200), is_noise=True),
    "motion_blur": _Sequence(blur.motion_blur, blur.N_ANGLES),
    "zoom_blur": _Sequence(blur.zoom_blur, N_FRAMES),
    "snow": _Sequence(weather.snow, N_FRAMES),
    "brightness": _Sequence(weather.brightness, N_FRAMES),
    "translate": _Sequence(geometry.translate, geometry.N_TRANSLATIONS),
    "rotate": _Sequence(geometry.rotate, N_FRAMES),
    "tilt": _Sequence(geometry.tilt, N_FRAMES),
    "scale": _Sequence(geometry.scale, N_FRAMES),
    "speckle_noise": _Sequence(noise.speckle_noise, N_FRAMES, (0.05, 0.07, 0.1), is_noise=True),
    "gaussian_blur": _Sequence(blur.gaussian_blur, N_FRAMES),
    "spatter": _Sequence(weather.spatter, N_FRAMES),
    "shear": _Sequence(geometry.shear, N_FRAMES),
}

__all__ = ["MAIN_PERTURBATIONS", "PERTURBATIONS", "VALIDATION_PERTURBATIONS", "frames", "is_noise", "n_frames"]


def is_noise(name: str) -> bool:
    """Whether the frames are independent of each other but for a clean first one.

    Raises:
        ConfigError: unknown name.
    """
    return _sequence(name).is_noise


def n_frames(name: str) -> int:
    """How many frames the sequence has: 31, or 21 of motion_blur and 16 of translate.

    Raises:
        ConfigError: unknown name.
    """
    return _sequence(name).n_frames


def frames(images: Tensor, name: str, *, seed: int, indices: Tensor, difficulty: int = 1) -> Iterator[Tensor]:
    """The frames of a batch, in order, one at a time.

    Args:
        images: (N, C, H, W) uint8, C is 1 or 3 (RGB).
        name: one of `PERTURBATIONS`.
        seed: of the evaluation; part of the key of every random number.
        indices: (N,) integers, each image's index in its split: the other part.
        difficulty: 1; or 2 and 3, the reference's harder noise.

    Returns:
        `n_frames(name)` tensors, each (N, C, H, W) uint8 on the device of `images` and never changed afterwards. The frame before is not
        needed for the next one.

    Raises:
        ConfigError: unknown name, or a difficulty that the sequence does not have.
        ValueError: images of another type or shape, or indices that do not match.
    """
    sequence = _sequence(name)
    rule = "difficulty is 1, 2 or 3" if sequence.is_noise else "difficulty is 1, except of noise"
    require(type(difficulty) is int and 1 <= difficulty <= len(sequence.strengths), rule, name=name, difficulty=difficulty)
    indices = check_images(images, indices)
    names = (check_seed(seed), "perturbation", name, difficulty)
    films = [sequence.make(images[rows], sequence.strengths[difficulty - 1], Keys(names, indices[rows])) for rows in chunks(images)]
    if not films:
        return (images.clone() for _ in range(sequence.n_frames))
    return (torch.cat(parts) for parts in zip(*films, strict=True))


def _sequence(name: str) -> _Sequence:
    if name not in _SEQUENCES:
        raise unknown_name("perturbation", name, PERTURBATIONS)
    return _SEQUENCES[name]
