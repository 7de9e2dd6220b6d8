"""Noise, read from its definition once more: one image at a time, in NumPy."""

from __future__ import annotations

import numpy as np

from tests._dummies import Float64, UInt8


def truncate(x: Float64) -> UInt8:
    """[0, 1] to grey levels: clip, times 255, cut off."""
    return (np.clip(x, 0, 1) * 255).astype(np.uint8)


def gaussian_noise(image: UInt8, sigma: float, rng: np.random.Generator) -> UInt8:
    return truncate(image / 255 + rng.normal(0, sigma, image.shape))


def shot_noise(image: UInt8, photons: float, rng: np.random.Generator) -> UInt8:
    return truncate(rng.poisson(image / 255 * photons) / photons)


def impulse_noise(image: UInt8, amount: float, rng: np.random.Generator) -> UInt8:
    out = image.copy()
    is_replaced = rng.random(image.shape) < amount
    out[is_replaced] = np.where(rng.random(int(is_replaced.sum())) < 0.5, 0, 255)
    return out


def speckle_noise(image: UInt8, sigma: float, rng: np.random.Generator) -> UInt8:
    x = image / 255
    return truncate(x + x * rng.normal(0, sigma, image.shape))
