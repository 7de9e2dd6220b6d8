"""Evaluation with every metric against the bare forward pass of the same network over the same batches, in one run.

ours: 10,000 CIFAR-sized uint8 images -> normalised, predicted, temperature fitted, all metrics and the reliability bins.
bare: the network in inference mode on batches that are already normalised, in channels-last memory order.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy as np
import torch

from bsd_core.bench import Spread, ratio, seconds_by_round
from bsd_core.data.augment import Normaliser
from bsd_core.evaluate import EvaluationPlan, evaluate
from bsd_core.models import build_model

_N_IMAGES, _BATCH_SIZE = 10_000, 512  # the batch of `predict`


@dataclass(frozen=True)
class EvaluateResult:
    """Medians over rounds."""

    seconds: float
    bare_seconds: float
    ratio: Spread  # ours / bare


def run(*, rounds: int = 7, model: str = "resnet8", width: int = 16) -> EvaluateResult:
    """One thread, as a trial has."""
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (_N_IMAGES, 3, 32, 32), dtype=np.uint8))
    targets = torch.from_numpy(rng.integers(0, 10, _N_IMAGES))
    network = build_model(model, in_channels=3, n_classes=10, width=width, seed=0).eval()
    normaliser = Normaliser.fit(images)
    batches = [normaliser(part) for part in torch.split(images, _BATCH_SIZE)]

    def bare() -> None:
        with torch.inference_mode():
            for batch in batches:
                network(batch)

    def ours() -> None:
        evaluate(network, normaliser, images, {"test": targets}, plan=EvaluationPlan())

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = seconds_by_round({"ours": ours, "bare": bare}, rounds=rounds)
    finally:
        torch.set_num_threads(threads)
    return EvaluateResult(
        seconds=statistics.median(seconds["ours"]),
        bare_seconds=statistics.median(seconds["bare"]),
        ratio=ratio(seconds["ours"], seconds["bare"]),
    )
