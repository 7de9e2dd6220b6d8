"""Confidence penalty: cross-entropy less the entropy of the prediction (Pereyra et al., ICLR workshop 2017).

    L = mean_i [ CE(z_i, y_i) - penalty_weight * H(p_i) ],    H(p) = -sum_k p_k log p_k

Source: the formula is as secondary sources give it; there is no reference code.
Same as: the term that DivideMix adds in its warm-up, where penalty_weight is 1.
Different from the paper: its variants, a penalty that is annealed or that acts only above an entropy, are not here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from bsd_core.errors import require
from bsd_core.methods.base import LogitsMethod, MethodConfig


def confidence_penalty_loss(logits: Tensor, targets: Tensor, *, penalty_weight: float) -> dict[str, Tensor]:
    """The objective, as in the module's formula.

    Args:
        logits: (B, K).
        targets: (B,) int64.
        penalty_weight: of the entropy; >= 0, and 0 is plain cross-entropy.

    Returns:
        Scalars "cross_entropy", "entropy" (in nats) and "total", means over the batch.

    Raises:
        ConfigError: weight out of range.
    """
    require(penalty_weight >= 0, "penalty_weight >= 0", penalty_weight=penalty_weight)
    log_probs = functional.log_softmax(logits, dim=1)
    cross_entropy = functional.nll_loss(log_probs, targets)
    entropy = -(log_probs.exp() * log_probs).sum(dim=1).mean()
    return {"cross_entropy": cross_entropy, "entropy": entropy, "total": cross_entropy - penalty_weight * entropy}


@dataclass(frozen=True, kw_only=True)
class ConfidencePenaltyConfig(MethodConfig):
    """Settings of the confidence penalty."""

    penalty_weight: float = 0.1  # of the entropy; >= 0

    def __post_init__(self) -> None:
        require(0 <= self.penalty_weight < math.inf, "0 <= penalty_weight < inf", penalty_weight=self.penalty_weight)


class ConfidencePenalty(LogitsMethod):
    """Cross-entropy that rewards predictions of high entropy."""

    Config = ConfidencePenaltyConfig
    config: ConfidencePenaltyConfig

    def loss(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Cross-entropy, entropy, and their weighted difference."""
        return confidence_penalty_loss(logits, targets, penalty_weight=self.config.penalty_weight)
