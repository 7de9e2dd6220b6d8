"""One trained network -> rows of metrics: clean, corrupted and perturbed, with the bins of its reliability diagrams."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from bsd_core.data.augment import Normaliser
from bsd_core.data.batches import Images
from bsd_core.errors import ConfigError, DivergedError, require, unknown_name
from bsd_core.metrics import calibration, classification
from bsd_core.metrics.robustness import flip_probability, rank_distance
from bsd_core.models import Network
from bsd_core.robustness.arguments import check_severity
from bsd_core.robustness.corruptions import CORRUPTIONS, corrupt
from bsd_core.robustness.corruptions.severities import SEVERITIES
from bsd_core.robustness.frost_textures import FrostTextures
from bsd_core.robustness.official import OfficialCorruptions
from bsd_core.robustness.perturbations import PERTURBATIONS, frames, is_noise, n_frames

Row = dict[str, Any]
Observer = Callable[[Row, Tensor, Tensor, Tensor], None]  # split, shift, name and severity; rows (n,); labels (n,); logits (n, K)


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """What a trained network is shown besides clean images."""

    corruptions: tuple[str, ...] = ()  # of `CORRUPTIONS`
    severities: tuple[int, ...] = SEVERITIES  # of 1..5
    perturbations: tuple[str, ...] = ()  # of `PERTURBATIONS`
    seed: int = 0  # of corruptions and perturbations: equal seeds, equal pixels
    frost_folder: str | None = None  # pictures of the user's own for the corruption "frost"

    def __post_init__(self) -> None:
        for kind, names, known in (
            ("corruption", self.corruptions, CORRUPTIONS),
            ("perturbation", self.perturbations, PERTURBATIONS),
        ):
            for name in names:
                if name not in known:
                    raise unknown_name(kind, name, known)
            require(len(set(names)) == len(names), f"each {kind} is named once", names=names)
        object.__setattr__(self, "severities", tuple(map(check_severity, self.severities)))
        require(len(set(self.severities)) == len(self.severities), "each severity is named once", severities=self.severities)
        require(bool(self.severities) or not self.corruptions, "corruptions have a severity", severities=self.severities)
        if self.frost_folder is not None and "frost" not in self.corruptions:
            raise ConfigError("Pictures of frost are for the corruption frost, which is not among the corruptions.")

    @property
    def frost(self) -> FrostTextures | None:
        """The user's pictures of frost, read once a process; None for generated ones.

        Raises:
            DataError: see `FrostTextures.from_folder`.
        """
        return None if self.frost_folder is None else _read_frost(self.frost_folder)

    def check(self, *, channels: int, image_size: tuple[int, int]) -> None:
        """Whether the files that this plan needs are there and suit such images; better asked before a training than after.

        Raises:
            DataError: see `FrostTextures`.
        """
        if self.frost_folder is not None:
            black = torch.zeros(1, channels, *image_size, dtype=torch.uint8)
            corrupt(black, "frost", 1, seed=0, indices=torch.zeros(1, dtype=torch.int64), frost=self.frost)

    @property
    def n_shifts(self) -> int:
        """Corrupted copies of the images that are evaluated."""
        return len(self.corruptions) * len(self.severities)

    @property
    def n_frames(self) -> int:
        """Frames of all sequences of one image."""
        return sum(n_frames(name) for name in self.perturbations)


_read_frost = functools.lru_cache(maxsize=2)(FrostTextures.from_folder)


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
    return _in_batches(model, model, images, normaliser, rows, change, batch_size)


def penultimate(network: Network, images: Images, normaliser: Normaliser, *, rows: Tensor, batch_size: int = 512) -> Tensor:
    """Penultimate features in evaluation mode, without augmentation.

    Args:
        network: left in evaluation mode.
        images: as in `predict`.
        normaliser: of the training.
        rows: (n,) int64, which images.

    Returns:
        (n, D) float64, D being the network's `n_features`.

    Raises:
        DivergedError: a feature is NaN or infinite.
        ValueError: n = 0.
    """
    return _in_batches(network, network.features, images, normaliser, rows, None, batch_size)


def _in_batches(
    model: nn.Module,
    of: Callable[[Tensor], Tensor],
    images: Images,
    normaliser: Normaliser,
    rows: Tensor,
    change: Callable[[Tensor, Tensor], Tensor] | None,
    batch_size: int,
) -> Tensor:
    """What `of`, the model or a part of it, makes of some images: (n, outputs) float64."""
    if not len(rows):
        raise ValueError("No images to predict: got N = 0.")
    model.eval()
    parts = []
    with torch.inference_mode():
        for some in torch.split(rows, batch_size):
            pixels = images[some]
            parts.append(of(normaliser(pixels if change is None else change(pixels, some))))
        outputs = _finite(torch.cat(parts))
    return outputs.clone()  # out of inference mode, so that any function may use it


def _finite(logits: Tensor) -> Tensor:
    if not bool(torch.isfinite(logits).all()):
        raise DivergedError("The network's outputs are NaN or infinite.")
    return logits.double()


def as_stored(logits: Tensor) -> Tensor:
    """Logits in two bytes each: less their row's largest, which softmax does not see, so the digits go where probabilities are.

    The largest stays the largest; probabilities change by a factor of 1 + 2^-11 |logit difference| at most.

    Args:
        logits: (N, K), finite.

    Returns:
        (N, K) float16, at most 0, finite.
    """
    lowest = torch.finfo(torch.float16).min
    return (logits - logits.amax(1, keepdim=True)).clamp(min=lowest).half()


def steadiness(
    model: nn.Module, images: Images, normaliser: Normaliser, name: str, *, rows: Tensor, seed: int, batch_size: int = 512
) -> Row:
    """How steady the predictions are along a sequence of slightly changed images; one frame of one batch is in memory at a time.

    Args:
        model: left in evaluation mode.
        images: as in `predict`.
        normaliser: of the training.
        name: of `PERTURBATIONS`.
        rows: (n,) int64, which images begin a sequence.
        seed: of the perturbation.
        batch_size: sequences at a time.

    Returns:
        n (sequences), flip_probability, and top5_distance (None where there are no more than five classes).

    Raises:
        DivergedError: a logit is NaN or infinite.
        ValueError: n = 0.
    """
    if not len(rows):
        raise ValueError("No images to perturb: got n = 0.")
    model.eval()
    noise = is_noise(name)
    flips, distances = 0.0, 0.0
    with torch.inference_mode():
        for some in torch.split(rows, batch_size):
            sequence = frames(images[some], name, seed=seed, indices=some)
            logits = _finite(torch.stack([model(normaliser(frame)) for frame in sequence], dim=1))  # (B, F, K)
            flips += len(some) * float(flip_probability(logits.argmax(2), noise=noise))
            if logits.shape[2] > 5:
                distances += len(some) * float(rank_distance(logits, kind="top5", noise=noise))
    n = len(rows)
    return {"n": n, "flip_probability": flips / n, "top5_distance": distances / n if logits.shape[2] > 5 else None}


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
    temperature: float | None = None,
    official: OfficialCorruptions | None = None,
    observe: Observer | None = None,
) -> tuple[list[Row], list[Row]]:
    """Measure a trained network on one split.

    Args:
        model: the network.
        normaliser: of its training.
        images: (N, C, H, W) uint8 on the model's device.
        labels: by split name, (N,) int64. The first is the split itself: clean and corrupted rows. Any others judge the same clean
            predictions by other labels (noisy labels, or the true ones) and give one clean row each.
        plan: which corruptions.
        shifted_rows: rows of `images` that are corrupted and perturbed; all where None.
        temperature: for `ece_temperature_scaled`; fitted on the clean images by the first labels where None.
        official: released corrupted copies of `images`, which must be the test split they were made of; ours where None.
        observe: shown every set of logits but those of sequences. With it all of these metrics are of logits `as_stored`, so that an
            observer that stores them stores exactly what was measured.

    Returns:
        Rows of `evaluations` and of `reliability`, without trial columns. With a temperature fitted on the same images,
        `ece_temperature_scaled` is what scaling could at best achieve, not an estimate.
    """
    evaluations: list[Row] = []
    bins: list[Row] = []

    def add(split: str, shift: str, name: str, severity: int, logits: Tensor, targets: Tensor) -> None:
        key = {"split": split, "shift": shift, "name": name, "severity": severity}
        evaluations.append({**key, **measure(logits, targets, temperature=scale)})
        bins.extend({**key, **row} for row in reliability(logits, targets))

    def predicted(rows: Tensor | None = None, change: Callable[[Tensor, Tensor], Tensor] | None = None) -> Tensor:
        logits = predict(model, images, normaliser, rows=rows, change=change)
        return logits if observe is None else as_stored(logits).double()

    logits = predicted()
    (split, targets), *others = labels.items()
    scale = calibration.fit_temperature(logits, targets) if temperature is None else temperature
    add(split, "clean", "clean", 0, logits, targets)
    if observe is not None:
        observe({"split": split, "shift": "clean", "name": "clean", "severity": 0}, torch.arange(len(images)), targets, logits)
    for other, other_targets in others:
        add(other, "clean", "clean", 0, logits, other_targets)
    rows = torch.arange(len(images), device=images.device) if shifted_rows is None else shifted_rows
    for name in plan.corruptions:
        for severity in plan.severities:

            def corrupted(pixels: Tensor, some: Tensor, name: str = name, severity: int = severity) -> Tensor:
                if official is not None:
                    return official.images(name, severity, some.cpu().numpy()).to(pixels.device)
                return corrupt(pixels, name, severity, seed=plan.seed, indices=some, frost=plan.frost)

            logits = predicted(rows, corrupted)
            add(split, "corruption", name, severity, logits, targets[rows])
            if observe is not None:
                observe({"split": split, "shift": "corruption", "name": name, "severity": severity}, rows, targets[rows], logits)
    for name in plan.perturbations:
        key = {"split": split, "shift": "perturbation", "name": name, "severity": 1}
        evaluations.append({**key, **steadiness(model, images, normaliser, name, rows=rows, seed=plan.seed)})
    return evaluations, bins


def summarise(evaluations: Sequence[Row]) -> Row:
    """What the rows of one network on one split say of its robustness.

    Args:
        evaluations: as `evaluate` gives them; rows of shift `clean` are passed over.

    Returns:
        With corruptions: corrupted_accuracy, corrupted_ece, corrupted_nll (plain means over all rows), mean_corruption_error (the plain
        mean of error rates, not divided by another network's), worst_corruption (lowest mean accuracy over its severities) and
        worst_corruption_accuracy. With perturbations: flip_probability (their mean, mFP) and top5_distance.
    """
    corrupted = [row for row in evaluations if row["shift"] == "corruption"]
    perturbed = [row for row in evaluations if row["shift"] == "perturbation"]
    found: Row = {}
    if corrupted:
        found = {f"corrupted_{name}": fmean(row[name] for row in corrupted) for name in ("accuracy", "ece", "nll")}
        found["mean_corruption_error"] = fmean(1 - row["accuracy"] for row in corrupted)
        names = dict.fromkeys(row["name"] for row in corrupted)
        accuracies = {name: fmean(row["accuracy"] for row in corrupted if row["name"] == name) for name in names}
        worst = min(accuracies, key=accuracies.__getitem__)
        found |= {"worst_corruption": worst, "worst_corruption_accuracy": accuracies[worst]}
    if perturbed:
        found["flip_probability"] = fmean(row["flip_probability"] for row in perturbed)
        distances = [row["top5_distance"] for row in perturbed]
        found["top5_distance"] = fmean(distances) if None not in distances else None
    return found
