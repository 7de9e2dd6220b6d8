"""What the trials of a phase are sent: data, settings and a task of their own. Plain values, so that any process can be told."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from bsd_core.config import AugmentConfig, TrainConfig
from bsd_core.data.images import Int64, Pixels
from bsd_core.evaluate import EvaluationPlan
from studies.rungs import Rungs
from studies.trial_checkpoints import CheckpointPlan


@dataclass(frozen=True, kw_only=True)
class SearchData:
    """All that trials of a phase train on and choose by, sent once; there is no test split in it.

    Attributes:
        train_images, val_images: (N, C, H, W) uint8, in memory or mapped; a mapped file must be there on every machine. No image is left
            for validation where a confirm phase trains on all.
        train_targets, val_targets: (N,) int64, true labels: for the record, never for a method.
        given: by condition (confirm phase: `<condition>/<replicate>`), the labels of train and val as the condition spoils them.
        shifted_rows: rows of the validation split that are corrupted and perturbed for evaluation.
        n_classes: K.
        fingerprint: of the whole; names the copy that a process keeps.
    """

    train_images: Pixels
    train_targets: Int64
    val_images: Pixels
    val_targets: Int64
    given: dict[str, tuple[Int64, Int64]]
    shifted_rows: Int64
    n_classes: int
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class TestData:
    """The test split, which only trials of the confirm phase are given.

    Attributes:
        images: (N, C, H, W) uint8.
        targets: (N,) int64, true labels.
        shifted_rows: rows that are corrupted and perturbed.
        official_folder: of released corrupted copies, which must be there on every machine; None for ours.
        fingerprint: of the whole.
        feature_rows: rows whose penultimate features a setting's first training sends; None: none are sent.
    """

    images: Pixels
    targets: Int64
    shifted_rows: Int64
    official_folder: str | None
    fingerprint: str
    feature_rows: Int64 | None = None


@dataclass(frozen=True, kw_only=True)
class TrialSettings:
    """What all trials of a run share."""

    model: str
    width: int | None
    stem: str = "auto"
    pretrained: str | None = None  # an absolute path, the same on every node
    train: TrainConfig  # each trial sets its own learning_rate and weight_decay
    augment: AugmentConfig
    evaluation: EvaluationPlan  # of the validation images; in the confirm phase, of the test images
    predictions: str = "none"  # which logits trials of the confirm phase send: clean, all or none
    validation_labels: str
    rungs: Rungs | None = None  # epochs after which a trial waits for the driver's word
    checkpoints: CheckpointPlan | None = None  # None: a trial whose process dies starts again
    report_seconds: float = 0.25  # epochs that end within this time travel together: the driver's cost is by message
    timed: bool = False  # whether a trial tells when it begins, so that the driver can end one that hangs
    cpus: float
    use_gpu: bool


@dataclass(frozen=True, kw_only=True)
class TrialTask:
    """What one trial is told besides."""

    trial_id: str
    method: str
    condition: str
    settings: dict[str, float | int | str]  # of the method
    learning_rate: float
    weight_decay: float
    seed: int
    replicate: int | None = None  # confirm phase: which fresh seed, and so which draw of wrong labels
    temperature: float | None = None  # confirm phase: that of the confirmed trial, where no image is left to fit one on

    @property
    def labels(self) -> str:
        """Which of `SearchData.given` it trains on."""
        return self.condition if self.replicate is None else f"{self.condition}/{self.replicate}"


def fingerprint(*arrays: Any) -> str:
    """16 hexadecimal digits that name the arrays' bytes."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
