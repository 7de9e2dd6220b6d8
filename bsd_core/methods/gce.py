"""Generalised cross-entropy, robust to label noise (Zhang & Sabuncu, NeurIPS 2018; code followed: liyi01827/noisy-contrastive).

    L = mean_i (1 - max(p_iy, 1e-4)^q) / q

From cross-entropy (q -> 0) to 1 - p_iy, half the absolute error (q = 1): the larger q, the less a label counts that the network doubts.

Same as the reference:
- the clamp: a label below probability 1e-4 has no gradient at all.
Different from the reference:
- computed from log p_iy as -expm1(q log p_iy) / q, which does not cancel at small q;
- the truncated loss of the paper, which prunes samples, is not here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.errors import require
from bsd_core.methods.base import LogitsMethod, MethodConfig

_LEAST_LOG_PROB: Final = math.log(1e-4)


def gce_loss(logits: Tensor, targets: Tensor, *, exponent: float) -> dict[str, Tensor]:
    """The objective, as in the module's formula.

    Args:
        logits: (B, K).
        targets: (B,) int64.
        exponent: q in (0, 1].

    Returns:
        {"total": scalar}, the mean over the batch, in [0, 1 / q).

    Raises:
        ConfigError: exponent out of range.
    """
    require(0 < exponent <= 1, "0 < exponent <= 1", exponent=exponent)
    log_label_probs = functional.log_softmax(logits, dim=1).gather(1, targets[:, None])
    return {"total": -torch.expm1(exponent * log_label_probs.clamp_min(_LEAST_LOG_PROB)).mean() / exponent}


@dataclass(frozen=True, kw_only=True)
class GCEConfig(MethodConfig):
    """Settings of generalised cross-entropy; the default is the paper's."""

    exponent: float = 0.7  # q; in (0, 1], cross-entropy in the limit 0

    def __post_init__(self) -> None:
        require(0 < self.exponent <= 1, "0 < exponent <= 1", exponent=self.exponent)


class GeneralizedCrossEntropy(LogitsMethod):
    """Between cross-entropy and absolute error."""

    Config = GCEConfig
    config: GCEConfig

    def loss(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The total is the generalised cross-entropy."""
        return gce_loss(logits, targets, exponent=self.config.exponent)
