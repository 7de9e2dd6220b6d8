"""PS-KD, progressive self-distillation (Kim et al., ICCV 2021; reference code: lgcnsai/PS-KD-Pytorch).

    L = mean_i -sum_k t_ik log softmax(z_i)_k,    t_i = (1 - a_e) e_y + a_e p_i',    a_e = history_weight * (e + 1) / E

p_i' is the softmax for the same image the last time it was seen; e is the zero-based epoch of E.

Same as the reference:
- the history comes from the training-mode, augmented pass that is also trained, without gradient;
- epoch 0 has no history and is plain cross-entropy; a_e reaches `history_weight` in the last epoch.
Different from the reference:
- the row is replaced in the step that reads it, not after the optimiser; a row occurs once an epoch, so nothing can tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.data.batches import Batch
from bsd_core.errors import require
from bsd_core.methods.base import Method, MethodConfig, Model, Step, Training


def history_weight_at(epoch: int, epochs: int, *, history_weight: float) -> float:
    """a_e of the module's formula, linear from `history_weight` / E to `history_weight`."""
    return history_weight * (epoch + 1) / epochs


def ps_kd_target(history: Tensor, targets: Tensor, *, weight: float) -> Tensor:
    """(1 - weight) * one-hot label + weight * history, rows that sum to 1.

    Args:
        history: (B, K) probabilities, detached here.
        targets: (B,) int64.
        weight: a_e in [0, 1].

    Returns:
        (B, K), without gradient.

    Raises:
        ConfigError: weight out of range.
    """
    require(0 <= weight <= 1, "0 <= weight <= 1", weight=weight)
    target = weight * history.detach()
    return target.scatter_add_(1, targets[:, None], target.new_full((len(targets), 1), 1 - weight))


def ps_kd_loss(logits: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Cross-entropy against a target of probabilities (B, K) or of labels (B,): {"total": scalar}, the mean over the batch."""
    return {"total": functional.cross_entropy(logits, target)}


@dataclass(frozen=True, kw_only=True)
class PSKDConfig(MethodConfig):
    """Settings of PS-KD; the default is the reference's."""

    history_weight: float = 0.8  # a in the last epoch; in [0, 1], 0 means plain cross-entropy

    def __post_init__(self) -> None:
        require(0 <= self.history_weight <= 1, "0 <= history_weight <= 1", history_weight=self.history_weight)


class ProgressiveSelfDistillation(Method):
    """Learns from its own prediction of an epoch ago, ever more."""

    Config = PSKDConfig
    config: PSKDConfig

    history: Tensor  # (N, K) float32, the latest training-time probabilities

    def __init__(self, config: PSKDConfig, training: Training) -> None:
        super().__init__(config, training)
        self._epochs = training.epochs
        self.register_buffer("history", torch.zeros((len(training.targets), training.n_classes), device=training.targets.device))

    def step(self, model: Model, batch: Batch) -> Step:
        """One forward pass; its softmax replaces the history that the target was made of."""
        logits = model(batch.images)
        target = batch.targets
        if batch.epoch > 0:
            weight = history_weight_at(batch.epoch, self._epochs, history_weight=self.config.history_weight)
            target = ps_kd_target(self.history[batch.indices], batch.targets, weight=weight).to(logits.dtype)
        self.history[batch.indices] = functional.softmax(logits.detach().float(), dim=1)
        return Step(logits, ps_kd_loss(logits, target), len(batch.images))
