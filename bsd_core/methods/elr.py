"""ELR, early-learning regularisation (Liu et al., NeurIPS 2020; reference code: shengliu66/ELR).

    q_i = clamp(softmax(z_i), 1e-4, 1 - 1e-4)
    t_i <- beta * t_i + (1 - beta) * sg[ q_i / sum_k q_ik ]
    L = mean_i CE(z_i, y_i) + weight * mean_i log(1 - sum_k t_ik q_ik)

The second term holds the prediction at what it was before labels were memorised; `weight` is the paper's lambda.

Same as the reference:
- t starts at zero, without correction of that bias, and includes the current prediction before the loss reads it;
- t is constant in the gradient, which reaches q where it is not clamped.
Different from the reference:
- the recipe is the study's; ELR+ (two networks, mixup, averaged weights) is not here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.data.batches import Batch
from bsd_core.errors import require
from bsd_core.methods.base import Method, MethodConfig, Model, Step, Training

_LEAST_PROB: Final = 1e-4


def elr_loss(logits: Tensor, targets: Tensor, memory: Tensor, *, beta: float, weight: float) -> tuple[dict[str, Tensor], Tensor]:
    """The objective, as in the module's formula, and the memory after this update.

    Args:
        logits: (B, K).
        targets: (B,) int64, given labels.
        memory: (B, K), rows t_i before the update; zeros at first.
        beta: in [0, 1), share of the old memory that is kept.
        weight: lambda >= 0; 0 is plain cross-entropy.

    Returns:
        Scalars "cross_entropy", "regularization" (without the weight; at most 0) and "total", and the new rows t_i, without gradient.

    Raises:
        ConfigError: beta or weight out of range.
    """
    require(0 <= beta < 1, "0 <= beta < 1", beta=beta)
    require(weight >= 0, "weight >= 0", weight=weight)
    log_probs = functional.log_softmax(logits, dim=1)
    probs = log_probs.exp().clamp(_LEAST_PROB, 1 - _LEAST_PROB)
    evidence = probs.detach()
    memory = beta * memory + (1 - beta) * (evidence / evidence.sum(dim=1, keepdim=True))
    cross_entropy = functional.nll_loss(log_probs, targets)
    regularization = torch.log1p(-(memory * probs).sum(dim=1)).mean()
    terms = {"cross_entropy": cross_entropy, "regularization": regularization, "total": cross_entropy + weight * regularization}
    return terms, memory


@dataclass(frozen=True, kw_only=True)
class ELRConfig(MethodConfig):
    """Settings of ELR; the defaults are the reference's for CIFAR-10 with symmetric noise."""

    beta: float = 0.7  # share of the old memory kept at each update; in [0, 1)
    weight: float = 3.0  # lambda, of the regularisation; >= 0

    def __post_init__(self) -> None:
        require(0 <= self.beta < 1, "0 <= beta < 1", beta=self.beta)
        require(0 <= self.weight < math.inf, "0 <= weight < inf", weight=self.weight)


class EarlyLearningRegularization(Method):
    """Keeps predictions near their running mean, against the pull of wrong labels."""

    Config = ELRConfig
    config: ELRConfig

    memory: Tensor  # (N, K) float32, t

    def __init__(self, config: ELRConfig, training: Training) -> None:
        super().__init__(config, training)
        self.register_buffer("memory", torch.zeros((len(training.targets), training.n_classes), device=training.targets.device))

    def step(self, model: Model, batch: Batch) -> Step:
        """One forward pass feeds both the memory and the loss."""
        logits = model(batch.images)
        rows = self.memory[batch.indices].to(logits.dtype)
        terms, updated = elr_loss(logits, batch.targets, rows, beta=self.config.beta, weight=self.config.weight)
        self.memory[batch.indices] = updated.float()
        return Step(logits, terms, len(batch.images))

    def label_estimates(self) -> Tensor:
        """(N,) int64, the class with the largest share of each memory; -1 for an image that was not seen yet."""
        return self.memory.argmax(1).where(self.memory.any(1), -1)
