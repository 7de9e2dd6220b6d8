"""The distillation term that several methods share."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


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
