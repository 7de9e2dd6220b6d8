"""What methods share that pull logits towards others: the divergence, the loss with a cross-entropy beside it, and its two settings."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from bsd_core.errors import require
from bsd_core.methods.base import MethodConfig


def distillation_loss(logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """T^2 * mean_i KL( softmax(sg[teacher_i] / T) || softmax(logits_i / T) ).

    Args:
        logits: (B, K), receives the gradient.
        teacher_logits: (B, K), detached here.
        temperature: T > 0.

    Returns:
        Scalar.
    """
    log_probs = functional.log_softmax(logits / temperature, dim=1)
    teacher_log_probs = functional.log_softmax(teacher_logits.detach() / temperature, dim=1)
    divergence = functional.kl_div(log_probs, teacher_log_probs, reduction="batchmean", log_target=True)
    return temperature**2 * divergence


def with_distillation(
    cross_entropy: Tensor, logits: Tensor, teacher_logits: Tensor, *, temperature: float, distill_weight: float
) -> dict[str, Tensor]:
    """A cross-entropy and a weighted `distillation_loss`.

    Args:
        cross_entropy: scalar.
        logits, teacher_logits, temperature: of `distillation_loss`.
        distill_weight: >= 0; 0 leaves the cross-entropy.

    Returns:
        Scalars "cross_entropy", "distillation" (with T^2, without its weight) and "total".

    Raises:
        ConfigError: temperature or weight out of range.
    """
    require(temperature > 0, "temperature > 0", temperature=temperature)
    require(distill_weight >= 0, "distill_weight >= 0", distill_weight=distill_weight)
    distillation = distillation_loss(logits, teacher_logits, temperature=temperature)
    return {"cross_entropy": cross_entropy, "distillation": distillation, "total": cross_entropy + distill_weight * distillation}


@dataclass(frozen=True, kw_only=True)
class DistillationConfig(MethodConfig):
    """The settings of `with_distillation`."""

    temperature: float = 4.0  # softens both distributions; > 0
    distill_weight: float = 1.0  # weight of the KL term; >= 0

    def __post_init__(self) -> None:
        require(0 < self.temperature < math.inf, "0 < temperature < inf", temperature=self.temperature)
        require(0 <= self.distill_weight < math.inf, "0 <= distill_weight < inf", distill_weight=self.distill_weight)
