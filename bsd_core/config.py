"""How one network is trained: frozen, typed, checked when built."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bsd_core.errors import require


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The recipe shared by every method: SGD with momentum, linear warm-up, then a cosine to zero, set every step."""

    epochs: int  # passes over the training split; >= 1
    batch_size: int = 128  # primaries a step (CS-KD's partners come on top); >= 2, batch normalisation needs a spread
    learning_rate: float = 0.1  # peak; > 0
    weight_decay: float = 5e-4  # L2 on all parameters, as in the references; >= 0
    momentum: float = 0.9  # in [0, 1)
    nesterov: bool = False  # CS-KD trains without, PS-KD and DLB with
    warmup_epochs: float = 1.0  # linear from 0 to the peak; >= 0 and at most `epochs`

    def __post_init__(self) -> None:
        require(isinstance(self.epochs, int) and self.epochs >= 1, "epochs is a whole number >= 1", epochs=self.epochs)
        whole = isinstance(self.batch_size, int)
        require(whole and self.batch_size >= 2, "batch_size is a whole number >= 2", batch_size=self.batch_size)
        require(0 < self.learning_rate < math.inf, "0 < learning_rate < inf", learning_rate=self.learning_rate)
        require(0 <= self.weight_decay < math.inf, "0 <= weight_decay < inf", weight_decay=self.weight_decay)
        require(0 <= self.momentum < 1, "0 <= momentum < 1", momentum=self.momentum)
        require(not self.nesterov or self.momentum > 0, "momentum > 0 with nesterov", momentum=self.momentum)
        require(0 <= self.warmup_epochs <= self.epochs, "0 <= warmup_epochs <= epochs", warmup_epochs=self.warmup_epochs)

    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        """Rate of zero-based `step`: linear warm-up to the peak, then half a cosine that would reach 0 one step after the last."""
        total, warmup = self.epochs * steps_per_epoch, self.warmup_epochs * steps_per_epoch
        if step < warmup:
            return self.learning_rate * (step + 1) / (math.ceil(warmup) + 1)
        progress = (step - warmup) / max(1.0, total - warmup)
        return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Random augmentation of training images; evaluation images are never augmented."""

    crop_padding: int = 0  # zero pixels added on every side before a random crop of the old size; >= 0, 0 is off
    flip: bool = False  # horizontal flip with probability 1/2

    def __post_init__(self) -> None:
        require(self.crop_padding >= 0, "crop_padding >= 0", crop_padding=self.crop_padding)
