"""What a trial's trained network is shown at the end, and what becomes of it: rows of tables, the trial's own columns, predictions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bsd_core.data.batches import Images
from bsd_core.data.host_images import to_device
from bsd_core.evaluate import EvaluationPlan, Observer, Row, as_stored, evaluate, penultimate, summarise
from bsd_core.metrics.intervals import accuracy_interval, ece_interval
from bsd_core.robustness.official import OfficialCorruptions
from bsd_core.seeds import derive_seed
from bsd_core.train import Trainer
from studies.features import Features
from studies.predictions import Prediction
from studies.trial_data import TestData


@dataclass
class Measured:
    """Everything measured of one network, filled step by step.

    Attributes:
        metrics: columns of table `trials`.
        evaluations, reliability: rows of these tables.
        predictions: what is kept of the logits.
        features: what is kept of the penultimate features; None where nothing is, or where they did not fit into memory.
        temperature: fitted on clean validation images; None while there is none.
    """

    metrics: Row = field(default_factory=dict)
    evaluations: list[Row] = field(default_factory=list)
    reliability: list[Row] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)
    features: Features | None = None
    temperature: float | None = None


def measure_val(
    trainer: Trainer,
    images: Images,
    labels: dict[str, Tensor],
    measured: Measured,
    *,
    plan: EvaluationPlan,
    shifted_rows: Tensor | None = None,
    keep: str = "none",
) -> None:
    """Evaluate on validation images.

    Args:
        trainer: its network and normaliser.
        images: (N, C, H, W).
        labels: first `val`, the study's validation labels, then `val_clean_labels` or `val_noisy_labels`, the others.
        measured: gets the rows and the columns `val_*`.
        plan: corruptions and perturbations.
        shifted_rows: rows that are corrupted; all where None.
        keep: which predictions: clean, all or none.
    """
    rows, bins = evaluate(
        trainer.network,
        trainer.normaliser,
        images,
        labels,
        plan=plan,
        shifted_rows=shifted_rows,
        observe=_keeper(measured, keep) if keep != "none" else None,
    )
    measured.evaluations += rows
    measured.reliability += bins
    clean, by_other, *shifted = rows
    other = by_other["split"].split("_")[1]
    chosen = "clean" if other == "noisy" else "noisy"
    measured.temperature = clean["temperature"]
    measured.metrics |= {f"val_{name}": clean[name] for name in ("accuracy", "ece", "nll", "brier")}
    for judged_by, row in ((chosen, clean), (other, by_other)):
        measured.metrics |= {f"val_accuracy_{judged_by}_labels": row["accuracy"], f"val_ece_{judged_by}_labels": row["ece"]}
    measured.metrics |= {f"val_{name}": value for name, value in summarise(shifted).items()}


def measure_test(
    trainer: Trainer,
    test: TestData,
    measured: Measured,
    *,
    plan: EvaluationPlan,
    temperature: float,
    seed: int,
    device: torch.device,
    keep: str,
    keep_features: bool = False,
) -> None:
    """Evaluate on test images by their true labels, with bootstrap intervals over images.

    Args:
        trainer: its network and normaliser.
        test: the split.
        measured: gets the rows, the columns `test_*`, predictions and features; no features where they do not fit into memory.
        plan: corruptions and perturbations.
        temperature: for temperature scaling, fitted on validation images.
        seed: of the bootstrap.
        device: of the network.
        keep: which predictions: clean, all or none.
        keep_features: whether to keep the penultimate features of the split's `feature_rows`, if it names any.
    """
    official = None
    if test.official_folder is not None:
        official = OfficialCorruptions.open(test.official_folder, test.targets, clean=test.images)
    logits: list[Tensor] = []
    keep_some = _keeper(measured, keep)

    def observe(key: Row, rows: Tensor, targets: Tensor, some: Tensor) -> None:
        if key["shift"] == "clean":
            logits.append(some)
        keep_some(key, rows, targets, some)

    targets, images = torch.tensor(test.targets, device=device), to_device(test.images, device)
    rows, bins = evaluate(
        trainer.network,
        trainer.normaliser,
        images,
        {"test": targets},
        plan=plan,
        shifted_rows=torch.tensor(test.shifted_rows, device=device),
        temperature=temperature,
        official=official,
        observe=observe,
    )
    measured.evaluations += rows
    measured.reliability += bins
    clean, *shifted = rows
    measured.metrics |= {f"test_{name}": clean[name] for name in ("accuracy", "ece", "nll", "brier", "ece_temperature_scaled")}
    measured.metrics |= {f"test_{name}": value for name, value in summarise(shifted).items()}
    measured.metrics |= image_intervals(logits[0].softmax(1), targets, seed=derive_seed(seed, "intervals"))
    if keep_features and test.feature_rows is not None:
        try:
            features = penultimate(trainer.network, images, trainer.normaliser, rows=torch.tensor(test.feature_rows, device=device))
            measured.features = Features.of(test.feature_rows, test.targets[test.feature_rows], features.cpu().numpy())
        except (MemoryError, RuntimeError) as error:  # all numbers are there; they are worth more than a map of features
            if not ran_out_of_memory(error):
                raise


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory of the machine or the GPU was not enough."""
    # On a CPU, torch has no class of its own for it.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def image_intervals(probs: Tensor, targets: Tensor, *, seed: int) -> Row:
    """95 % bootstrap intervals over images: test_accuracy_low, test_accuracy_high, test_ece_low, test_ece_high.

    Args:
        probs: (N, K).
        targets: (N,) int64.
        seed: of the resamples.
    """
    accuracy = accuracy_interval(probs, targets, seed=seed)
    ece = ece_interval(probs, targets, seed=seed, method="centred")
    return {
        "test_accuracy_low": accuracy.low,
        "test_accuracy_high": accuracy.high,
        "test_ece_low": ece.low,
        "test_ece_high": ece.high,
    }


def _keeper(measured: Measured, keep: str) -> Observer:
    """An observer that keeps predictions in `measured`."""

    def observe(key: dict[str, Any], rows: Tensor, targets: Tensor, logits: Tensor) -> None:
        if keep == "all" or (keep == "clean" and key["shift"] == "clean"):
            measured.predictions.append(
                Prediction(**key, rows=rows.cpu().numpy(), targets=targets.cpu().numpy(), logits=as_stored(logits).cpu().numpy())
            )

    return observe
