"""Images/s of every method's full training step against its own lower bound (see `bsd_core.bench`), one thread, as a trial has."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from bsd_core.bench import StepResult, measure_methods
from bsd_core.config import AugmentConfig, TrainConfig
from bsd_core.data.sources import load_source
from bsd_core.methods import METHODS

_STEPS = 12  # of one round; an epoch of the trainer, its end included


def run(*, rounds: int = 15) -> Iterator[tuple[str, StepResult]]:
    """Digits with the methods of the shipped studies, CIFAR-sized images with all methods."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        digits = load_source("digits")
        few = ["cross_entropy", "label_smoothing", "cs_kd", "bsd"]
        rgb = np.random.default_rng(0).integers(0, 256, (512, 3, 32, 32), dtype=np.uint8)
        cases = [
            ("digits 1x8x8, batch 64", digits.train.array, digits.augment, few, 64, rounds),
            ("CIFAR-sized 3x32x32, batch 128", rgb, AugmentConfig(crop_padding=4, flip=True), sorted(METHODS), 128, max(5, rounds // 2)),
        ]
        for name, images, augment, methods, batch_size, n in cases:
            pixels = torch.from_numpy(np.resize(images, (_STEPS * batch_size, *images.shape[1:])))
            train = TrainConfig(epochs=100_000, batch_size=batch_size, learning_rate=0.01)
            for result in measure_methods(methods, pixels, model="resnet8", width=16, train=train, augment=augment, rounds=n):
                yield name, result
    finally:
        torch.set_num_threads(threads)
