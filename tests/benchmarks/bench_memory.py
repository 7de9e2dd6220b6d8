"""BSD's table: bytes, and what a smaller one costs in accuracy.

bytes      of a table as large as ImageNet's (1,281,167 x 1000) and the memory that the process really grew by
accuracy   digits with 40 % symmetric noise, last epoch, true validation labels, mean and spread over seeds; top_k keeps 3 of 10 classes
distance   1000 classes, 40 updates by random predictions: total variation between the targets of the table and of the full one
"""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass
from typing import Any, Final

import torch

from bsd_core.config import TrainConfig
from bsd_core.data.label_noise import spoil_labels
from bsd_core.data.sources import load_source
from bsd_core.data.splits import split_train_val
from bsd_core.evaluate import headline, predict
from bsd_core.methods.bsd import BSDConfig, update_posterior
from bsd_core.methods.posterior import PosteriorTable
from bsd_core.train import Recipe, Trainer

IMAGENET: Final = (1_281_167, 1000)
SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "float32": {},
    "bfloat16": {"memory": "bfloat16"},
    "top_k": {"memory": "top_k", "top_k": 3},
}


@dataclass(frozen=True)
class MemoryResult:
    """One kind of memory.

    Attributes:
        n_bytes: of a table of ImageNet's size.
        grown_bytes: what the process grew by when it was made; None where it was not made (5 GB would not fit everywhere).
        accuracy, ece, label_recovery: mean and standard deviation over seeds, fractions.
        distance: mean total variation of the targets, a fraction.
    """

    memory: str
    n_bytes: int
    grown_bytes: int | None
    accuracy: tuple[float, float]
    ece: tuple[float, float]
    label_recovery: tuple[float, float]
    distance: float


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _imagenet_bytes(memory: str, top_k: int) -> tuple[int, int | None]:
    n, n_classes = IMAGENET
    sample = PosteriorTable(
        torch.zeros(1, dtype=torch.int64), n_classes, prior_strength=10.0, epsilon=1e-8, memory=memory, top_k=top_k, seed=0
    )
    if n * sample.n_bytes > 3e9:
        return n * sample.n_bytes, None
    before = _resident_bytes()
    targets = torch.arange(n) % n_classes
    table = PosteriorTable(targets, n_classes, prior_strength=10.0, epsilon=1e-8, memory=memory, top_k=top_k, seed=0)
    return table.n_bytes, _resident_bytes() - before


def _distance(memory: str, top_k: int, *, n: int = 200, n_classes: int = 1000, updates: int = 40) -> float:
    targets = torch.arange(n) % n_classes
    full, small = (
        PosteriorTable(targets, n_classes, prior_strength=10.0, epsilon=1e-8, memory=name, top_k=top_k, seed=0)
        for name in ("float32", memory)
    )
    rows, generator = torch.arange(n), torch.Generator().manual_seed(0)
    centre = 4 * torch.randn(n, n_classes, generator=generator)
    for update in range(updates):
        probs = (centre + torch.randn(n, n_classes, generator=generator)).softmax(1)
        means = []
        for table in (full, small):
            alpha, mean = update_posterior(table.read(rows), probs, discount=0.9)
            table.write(rows, alpha, key=("step", update))
            means.append(mean)
    return float((means[0] - means[1]).abs().sum(1).mean() / 2)


def run(*, seeds: int = 5, epochs: int = 15) -> list[MemoryResult]:
    """All kinds of memory, one thread."""
    torch.set_num_threads(1)
    source = load_source("digits")
    train, val = split_train_val(source.train, 0.2, seed=0)
    images, true = torch.from_numpy(train.array), torch.from_numpy(train.targets)
    results = []
    for name, settings in SETTINGS.items():
        found: list[tuple[float, float, float]] = []
        for seed in range(seeds):
            given = torch.as_tensor(spoil_labels(train.targets, "symmetric", 0.4, n_classes=10, seed=seed))
            recipe = Recipe(
                method="bsd",
                settings={"temperature": 0.3, **settings},
                model="resnet8",
                width=16,
                train=TrainConfig(epochs=epochs, batch_size=64),
                augment=source.augment,
                seed=seed,
            )
            trainer = Trainer(recipe, images, given, true=true, n_classes=10)
            last = list(trainer.records())[-1]
            metrics = headline(predict(trainer.network, torch.from_numpy(val.array), trainer.normaliser), torch.from_numpy(val.targets))
            found.append((metrics["accuracy"], metrics["ece"], last.label_recovery or 0.0))
        accuracy, ece, recovery = ((statistics.mean(column), statistics.stdev(column)) for column in zip(*found, strict=True))
        n_bytes, grown = _imagenet_bytes(name, BSDConfig().top_k)
        results.append(MemoryResult(name, n_bytes, grown, accuracy, ece, recovery, _distance(name, BSDConfig().top_k)))
    return results
