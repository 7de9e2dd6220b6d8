"""One trained network -> rows of metrics: clean and corrupted, with the bins of its reliability diagrams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bsd_core.data.augment import Normaliser
from bsd_core.data.batches import Images
from bsd_core.errors import DivergedError, require, unknown_name
from bsd_core.metrics import calibration, classification
from bsd_core.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """What a trained network is shown besides clean images."""

    corruptions: tuple[str, ...] = ()  # of `CORRUPTIONS`
    severities: tuple[int, ...] = SEVERITIES  # of 1..5
    seed: int = 0  # of the corruptions: equal seeds, equal pixels

    def __post_init__(self) -> None:
        for name in self.corruptions:
            if name not in CORRUPTIONS:
                raise unknown_name("corruption", name, CORRUPTIONS)
        for severity in self.severities:
            require(severity in SEVERITIES, "severity is 1, 2, 3, 4 or 5", severity=severity)

    @property
    def n_shifts(self) -> int:
        """Corrupted copies of the images that are evaluated."""
        return len(self.corruptions) * len(self.severities)


def predict(
    model: nn.Module,
    images: Images,
    normaliser: Normaliser,
    *,
    rows: Tensor | None = None,
    change: Callable[[Tensor, Tensor], Tensor] | None = None,
    batch_size: int = 512,
) -> Tensor:
    """Logits in evaluation mode, without augmentation; one batch of pixels is in memory at a time.

    Args:
        model: left in evaluation mode.
        images: (N, C, H, W) uint8 on the model's device, or read from the host.
        rows: (n,) int64, which images; all where None.
        change: (pixels (B, C, H, W), their rows (B,)) -> pixels, e.g. a corruption.

    Returns:
        (n, K) float64.

    Raises:
        DivergedError: a logit is NaN or infinite.
        ValueError: N = 0.
    """
    rows = torch.arange(len(images), device=images.device) if rows is None else rows
    if not len(rows):
        raise ValueError("No images to predict: got N = 0.")
    model.eval()
    parts = []
    with torch.inference_mode():
        for some in torch.split(rows, batch_size):
            pixels = images[some]
            parts.append(model(normaliser(pixels if change is None else change(pixels, some))))
        logits = torch.cat(parts).double()
    if not bool(torch.isfinite(logits).all()):
        raise DivergedError("The network's outputs are NaN or infinite.")
    return logits.clone()  # out of inference mode, so that any function may use it


def headline(logits: Tensor, targets: Tensor) -> Row:
    """The four metrics that are watched every epoch: accuracy, ece, nll, brier."""
    return _headline(logits.softmax(1), targets)


def _headline(probs: Tensor, targets: Tensor) -> Row:
    return {
        "accuracy": float(classification.accuracy(probs, targets)),
        "ece": float(calibration.expected_calibration_error(probs, targets)),
        "nll": float(classification.negative_log_likelihood(probs, targets)),
        "brier": float(classification.brier_score(probs, targets)),
    }


def measure(logits: Tensor, targets: Tensor, *, temperature: float) -> Row:
    """All metrics of one set of predictions; `temperature` was fitted on clean validation images of the same network."""
    probs = logits.softmax(1)
    scaled = (logits / temperature).softmax(1)
    return {
        "n": len(targets),
        **_headline(probs, targets),
        "top5_accuracy": float(classification.top_k_accuracy(probs, targets, k=5)) if probs.shape[1] > 5 else None,
        "adaptive_ece": float(calibration.adaptive_calibration_error(probs, targets)),
        "classwise_ece": float(calibration.classwise_calibration_error(probs, targets)),
        "maximum_calibration_error": float(calibration.maximum_calibration_error(probs, targets)),
        "rms_calibration_error": float(calibration.root_mean_square_calibration_error(probs, targets)),
        "debiased_calibration_error": float(calibration.debiased_calibration_error(probs, targets)),
        "aurc": float(classification.area_under_risk_coverage(probs, targets)),
        "excess_aurc": float(classification.excess_area_under_risk_coverage(probs, targets)),
        "ece_temperature_scaled": float(calibration.expected_calibration_error(scaled, targets)),
        "temperature": temperature,
        "flip_probability": None,  # of perturbation sequences only
    }


def reliability(logits: Tensor, targets: Tensor) -> list[Row]:
    """The 15 bins of the reliability diagram; confidence and accuracy of an empty bin are None."""
    bins = calibration.reliability_bins(logits.softmax(1), targets)
    rows = []
    for index, count in enumerate(bins.count.long().tolist()):
        confidence, accuracy = float(bins.mean_confidence[index]), float(bins.accuracy[index])
        rows.append(
            {"bin": index, "count": count, "mean_confidence": confidence if count else None, "accuracy": accuracy if count else None}
        )
    return rows


def evaluate(
    model: nn.Module,
    normaliser: Normaliser,
    images: Images,
    labels: dict[str, Tensor],
    *,
    plan: EvaluationPlan,
    shifted_rows: Tensor | None = None,
) -> tuple[list[Row], list[Row]]:
    """Measure a trained network on one split.

    Args:
        model: the network.
        normaliser: of its training.
        images: (N, C, H, W) uint8 on the model's device.
        labels: by split name, (N,) int64. The first is the split itself: clean and corrupted rows. Any others judge the same clean
            predictions by other labels (noisy labels, or the true ones) and give one clean row each.
        plan: which corruptions.
        shifted_rows: rows of `images` that are corrupted; all where None.

    Returns:
        Rows of `evaluations` and of `reliability`, without trial columns. The temperature is fitted on the clean images by the first
        labels, so on the validation split itself `ece_temperature_scaled` is what scaling could at best achieve, not an estimate.
    """
    evaluations: list[Row] = []
    bins: list[Row] = []

    def add(split: str, shift: str, name: str, severity: int, logits: Tensor, targets: Tensor) -> None:
        key = {"split": split, "shift": shift, "name": name, "severity": severity}
        evaluations.append({**key, **measure(logits, targets, temperature=temperature)})
        bins.extend({**key, **row} for row in reliability(logits, targets))

    logits = predict(model, images, normaliser)
    (split, targets), *others = labels.items()
    temperature = calibration.fit_temperature(logits, targets)
    add(split, "clean", "clean", 0, logits, targets)
    for other, other_targets in others:
        add(other, "clean", "clean", 0, logits, other_targets)
    rows = torch.arange(len(images), device=images.device) if shifted_rows is None else shifted_rows
    for name in plan.corruptions:
        for severity in plan.severities:

            def corrupted(pixels: Tensor, some: Tensor, name: str = name, severity: int = severity) -> Tensor:
                return corrupt(pixels, name, severity, seed=plan.seed, indices=some)

            add(split, "corruption", name, severity, predict(model, images, normaliser, rows=rows, change=corrupted), targets[rows])
    return evaluations, bins
