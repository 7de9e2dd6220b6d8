"""Temporal ensembling with all images labelled (Laine & Aila, ICLR 2017; reference code: smlaine2/tempens).

    L = mean_i CE(z_i, y_i) + w_t * mean_ik (p_ik - target_ik)^2        target_i = Z_i / (1 - decay^t)
    Z_i <- decay * Z_i + (1 - decay) * p_i                              once an epoch, t of them so far
    w_t = consistency_weight * exp(-5 (1 - t / R)^2) until t = R, then consistency_weight; 0 in epoch t = 0

p = softmax(z). It is BSD's target without a prior (c = epsilon = 0, discount = decay) one epoch old, under a squared error.

Same as the reference:
- the ensemble takes the training-mode, augmented pass that is also trained; the target is the one from before this epoch;
- the squared error is a mean over images and classes, and the bias from Z_0 = 0 is divided out.
Different from the reference:
- Z_i is updated when image i is seen, not after the epoch; a row occurs once an epoch, so nothing can tell;
- the ramp R is a share of the training, 80 of 300 epochs by default, so that a short one sees its end;
- the optimiser is the study's: no Adam, no ramps of the learning rate and of beta_1; no input noise, no weight normalisation;
- every image is labelled, so the reference's scaling of the weight by the labelled share is 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.data.batches import Batch
from bsd_core.errors import require
from bsd_core.methods.base import Method, MethodConfig, Model, Step, Training


def ramp_up(epoch: int, ramp_epochs: float) -> float:
    """exp(-5 (1 - epoch / ramp_epochs)^2) before `ramp_epochs`, 1 from there on."""
    return math.exp(-5 * (1 - epoch / ramp_epochs) ** 2) if epoch < ramp_epochs else 1.0


def ensemble_target(ensemble: Tensor, *, decay: float, n_updates: int) -> Tensor:
    """Z / (1 - decay^n): (B, K) rows that sum to 1; zeros before the first update."""
    return ensemble / (1 - decay**n_updates) if n_updates > 0 else torch.zeros_like(ensemble)


def update_ensemble(ensemble: Tensor, probs: Tensor, *, decay: float) -> Tensor:
    """decay * Z + (1 - decay) * p, (B, K), without gradient.

    Raises:
        ConfigError: decay out of range.
    """
    require(0 <= decay < 1, "0 <= decay < 1", decay=decay)
    return torch.lerp(probs.detach(), ensemble, decay)


def temporal_ensembling_loss(logits: Tensor, targets: Tensor, ensemble: Tensor, *, weight: float) -> dict[str, Tensor]:
    """The objective, as in the module's formula.

    Args:
        logits: (B, K).
        targets: (B,) int64.
        ensemble: (B, K) probabilities to be consistent with, detached here.
        weight: w_t >= 0; 0 is plain cross-entropy.

    Returns:
        Scalars "cross_entropy", "consistency" (without the weight) and "total".

    Raises:
        ConfigError: weight out of range.
    """
    require(weight >= 0, "weight >= 0", weight=weight)
    log_probs = functional.log_softmax(logits, dim=1)
    cross_entropy = functional.nll_loss(log_probs, targets)
    consistency = functional.mse_loss(log_probs.exp(), ensemble.detach())
    return {"cross_entropy": cross_entropy, "consistency": consistency, "total": cross_entropy + weight * consistency}


@dataclass(frozen=True, kw_only=True)
class TemporalEnsemblingConfig(MethodConfig):
    """Settings of temporal ensembling; the defaults are the reference's for CIFAR-10."""

    decay: float = 0.6  # share of the old ensemble kept at each update; in [0, 1)
    consistency_weight: float = 30.0  # of the squared error, after the ramp; >= 0
    ramp_share: float = 80 / 300  # of the training, until the weight is whole; in (0, 1]

    def __post_init__(self) -> None:
        require(0 <= self.decay < 1, "0 <= decay < 1", decay=self.decay)
        require(0 <= self.consistency_weight < math.inf, "0 <= consistency_weight < inf", consistency_weight=self.consistency_weight)
        require(0 < self.ramp_share <= 1, "0 < ramp_share <= 1", ramp_share=self.ramp_share)


class TemporalEnsembling(Method):
    """Keeps each prediction close to the running mean of those before."""

    Config = TemporalEnsemblingConfig
    config: TemporalEnsemblingConfig

    ensemble: Tensor  # (N, K) float32, Z

    def __init__(self, config: TemporalEnsemblingConfig, training: Training) -> None:
        super().__init__(config, training)
        self._ramp_epochs = config.ramp_share * training.epochs
        self.register_buffer("ensemble", torch.zeros((len(training.targets), training.n_classes), device=training.targets.device))

    def step(self, model: Model, batch: Batch) -> Step:
        """One forward pass, held against the ensemble, then added to it."""
        logits = model(batch.images)
        decay, ensemble = self.config.decay, self.ensemble[batch.indices]
        target = ensemble_target(ensemble, decay=decay, n_updates=batch.epoch)
        weight = self.config.consistency_weight * ramp_up(batch.epoch, self._ramp_epochs) if batch.epoch > 0 else 0.0
        terms = temporal_ensembling_loss(logits, batch.targets, target.to(logits.dtype), weight=weight)
        probs = functional.softmax(logits.detach().float(), dim=1)
        self.ensemble[batch.indices] = update_ensemble(ensemble, probs, decay=decay)
        return Step(logits, terms, len(batch.images))

    def label_estimates(self) -> Tensor:
        """(N,) int64, the most probable label under each ensemble; -1 for an image that was not seen yet."""
        return self.ensemble.argmax(1).where(self.ensemble.any(1), -1)
