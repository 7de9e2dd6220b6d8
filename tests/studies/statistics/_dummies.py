"""Predictions as a process whose parts are known, for tests of statistics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from studies.statistics.resampling import Float64, Replicates


def make_difficulty(n_images: int, *, seed: int | Sequence[int]) -> Float64:
    """(N,) how easy each image is, for every method."""
    return np.random.default_rng(seed).normal(1.2, 1.0, n_images)


def make_replicates(
    difficulty: Float64,
    *,
    seed: int | Sequence[int],
    n_replicates: int = 5,
    shift: float = 0.0,
    seed_noise: float = 0.05,
    image_noise: float = 0.3,
    single_noise: float = 0.3,
) -> Replicates:
    """One method: right where difficulty + noise of the seed, of the method on an image, and of both, is positive; overconfident.

    Methods made with equal options have equal accuracy and ECE over all seeds and images; `shift` > 0 is a better one.
    """
    rng = np.random.default_rng(seed)
    of_seeds = rng.normal(0, seed_noise, (n_replicates, 1))
    of_images = rng.normal(0, image_noise, len(difficulty))
    margin = difficulty + shift + of_seeds + of_images + rng.normal(0, single_noise, (n_replicates, len(difficulty)))
    sharpness = 1.5 + rng.normal(0, 2 * seed_noise, (n_replicates, 1))
    return Replicates(1 / (1 + np.exp(-sharpness * np.abs(margin))), margin > 0)
