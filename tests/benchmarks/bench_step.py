"""Images/s of the full training step against the bare step of the same network, in one run.

bare: forward, backward, SGD on a constant, already augmented batch, same memory order, same fused optimiser.
lower bound: the bare step; for CS-KD the bare step and one forward pass without gradient, in training mode.
ratio: lower bound / ours, by rounds that alternate between the two, so that a machine whose speed drifts drifts for both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from bsd_core.config import AugmentConfig, TrainConfig
from bsd_core.data.label_noise import spoil_labels
from bsd_core.data.sources import load_source
from bsd_core.methods import METHODS, get_method
from bsd_core.models import build_model
from bsd_core.train import Recipe, Trainer

_STEPS = 12  # of one round; an epoch of the trainer, its end included


@dataclass(frozen=True)
class StepResult:
    """Medians over rounds."""

    case: str
    method: str
    images_per_second: float
    bare_images_per_second: float
    ratio: float
    ratio_low: float
    ratio_high: float


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _alternating(ours: Callable[[], object], bare: Callable[[], object], *, swap: bool) -> tuple[float, float]:
    if swap:
        bare_seconds = _timed(bare)
        return _timed(ours), bare_seconds
    return _timed(ours), _timed(bare)


def _lower_bound(recipe: Recipe, trainer: Trainer, passes: int) -> Callable[[], None]:
    """The work no trainer can avoid, `_STEPS` times."""
    batch = next(iter(trainer.batches.epoch()))
    images, targets = batch.images.clone(memory_format=torch.preserve_format), batch.targets
    model = build_model(recipe.model, in_channels=images.shape[1], n_classes=10, width=recipe.width, seed=0).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True)

    def run() -> None:
        for _ in range(_STEPS):
            optimizer.zero_grad(set_to_none=True)
            loss = functional.cross_entropy(model(images), targets)
            for _ in range(passes - 1):
                with torch.no_grad():
                    model(images)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return run


def measure(case: str, images: np.ndarray, augment: AugmentConfig, *, width: int, batch_size: int, rounds: int) -> list[StepResult]:
    """All methods on one kind of images."""
    pixels = torch.from_numpy(np.resize(images, (_STEPS * batch_size, *images.shape[1:])))
    targets = torch.arange(len(pixels)) % 10
    given = spoil_labels(targets, "symmetric", 0.2, n_classes=10, seed=0)
    results = []
    for method in METHODS:
        recipe = Recipe(
            method=method,
            settings={},
            model="resnet8",
            width=width,
            train=TrainConfig(epochs=1000, batch_size=batch_size, learning_rate=0.01),
            augment=augment,
            seed=0,
        )
        trainer = Trainer(recipe, pixels, given, true=targets, n_classes=10)
        bound = _lower_bound(recipe, trainer, get_method(method).images_per_sample)
        ours, bare = [], []
        for index in range(rounds + 1):
            pair = _alternating(trainer.run_epoch, bound, swap=bool(index % 2))
            if index:  # the first warms up
                ours.append(pair[0])
                bare.append(pair[1])
        ratios = statistics.quantiles([b / o for o, b in zip(ours, bare, strict=True)], n=4)
        n = _STEPS * batch_size
        results.append(StepResult(case, method, n / statistics.median(ours), n / statistics.median(bare), ratios[1], ratios[0], ratios[2]))
    return results


def run(*, rounds: int = 15) -> list[StepResult]:
    """Digits and CIFAR-sized images, one thread, as a trial has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        digits = load_source("digits")
        rgb = np.random.default_rng(0).integers(0, 256, (512, 3, 32, 32), dtype=np.uint8)
        return [
            *measure("digits 1x8x8, batch 64", digits.train.array, digits.augment, width=16, batch_size=64, rounds=rounds),
            *measure(
                "CIFAR-sized 3x32x32, batch 128",
                rgb,
                AugmentConfig(crop_padding=4, flip=True),
                width=16,
                batch_size=128,
                rounds=max(5, rounds // 2),
            ),
        ]
    finally:
        torch.set_num_threads(threads)
