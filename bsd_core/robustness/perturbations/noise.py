"""Sequences of independent noise after a clean first frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from bsd_core.robustness.corruptions import noise
from bsd_core.robustness.perturbations.keys import N_FRAMES, Keys
from bsd_core.robustness.random_fields import RandomField

Noise = Callable[[Tensor, float, RandomField], Tensor]


def gaussian_noise(images: Tensor, sigma: float, keys: Keys) -> Iterator[Tensor]:
    """x + N(0, sigma)."""
    return _noise_frames(noise.gaussian_noise, images, sigma, keys)


def shot_noise(images: Tensor, photons: float, keys: Keys) -> Iterator[Tensor]:
    """Poisson(photons x) / photons."""
    return _noise_frames(noise.shot_noise, images, photons, keys)


def speckle_noise(images: Tensor, sigma: float, keys: Keys) -> Iterator[Tensor]:
    """x + x N(0, sigma)."""
    return _noise_frames(noise.speckle_noise, images, sigma, keys)


def _noise_frames(function: Noise, images: Tensor, parameter: float, keys: Keys) -> Iterator[Tensor]:
    yield images
    for frame in range(1, N_FRAMES):
        yield function(images, parameter, keys.field(frame))
