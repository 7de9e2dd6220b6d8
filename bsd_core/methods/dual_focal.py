"""Dual focal loss (Tao et al., ICML 2023; reference code: Linwei94/DualFocalLoss).

    L = mean_i -(1 - p_iy + p_ij)^gamma log p_iy,    p_ij = the largest probability strictly below p_iy, 0 if there is none

j is the class ranked just below the label, which is not the runner-up where another class is ahead of the label.

Same as the reference:
- p_ij is part of the gradient.
Different from the reference:
- mean over the batch; the reference sums, so that its learning rate is ours divided by the batch size;
- gamma is 5 by default, as the paper recommends by secondary sources; the code's default is 0, which is cross-entropy;
- 1 - p_iy is computed without cancellation, and the gradient is finite where 1 - p_iy + p_ij = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.errors import require
from bsd_core.methods.base import LogitsMethod, MethodConfig


def next_below(probs: Tensor, label_probs: Tensor) -> Tensor:
    """The largest of each row of `probs` (B, K) that is strictly below `label_probs` (B, 1), or 0: (B, 1)."""
    return probs.masked_fill(probs >= label_probs, 0.0).max(dim=1, keepdim=True).values


def dual_focal_loss(logits: Tensor, targets: Tensor, *, gamma: float) -> dict[str, Tensor]:
    """The objective, as in the module's formula.

    Args:
        logits: (B, K).
        targets: (B,) int64.
        gamma: >= 0; 0 is plain cross-entropy.

    Returns:
        {"total": scalar}, the mean over the batch.

    Raises:
        ConfigError: gamma out of range.
    """
    require(gamma >= 0, "gamma >= 0", gamma=gamma)
    log_probs = functional.log_softmax(logits, dim=1)
    log_label_probs = log_probs.gather(1, targets[:, None])  # (B, 1)
    doubt = -torch.expm1(log_label_probs) + next_below(log_probs.exp(), log_label_probs.exp())
    # At zero the derivative of a power below 1 is infinite; a clamp keeps it from meeting log p = 0.
    weights = doubt.clamp_min(torch.finfo(doubt.dtype).tiny) ** gamma
    return {"total": -(weights * log_label_probs).mean()}


@dataclass(frozen=True, kw_only=True)
class DualFocalConfig(MethodConfig):
    """Settings of the dual focal loss."""

    gamma: float = 5.0  # >= 0

    def __post_init__(self) -> None:
        require(0 <= self.gamma < math.inf, "0 <= gamma < inf", gamma=self.gamma)


class DualFocal(LogitsMethod):
    """Focal loss that also widens the gap to the class behind the label."""

    Config = DualFocalConfig
    config: DualFocalConfig

    def loss(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The total is the dual focal loss."""
        return dual_focal_loss(logits, targets, gamma=self.config.gamma)
