"""Focal loss as a remedy for overconfidence (Mukhoti et al., NeurIPS 2020; reference code: torrvision/focal_calibration).

    L = mean_i -(1 - p_iy)^gamma_i log p_iy

Schedule `constant` has one gamma for all. `flsd53` (sample-dependent, the reference's FLSD-53) chooses by the label's probability:

    p_iy < 0.2: gamma_i = 5        0.2 <= p_iy < 0.5: gamma_i = 3        0.5 <= p_iy: gamma_i = gamma, which is 3 there

Same as the reference:
- the choice of gamma_i follows the prediction at every step and has no gradient; (1 - p_iy)^gamma_i has one.
Different from the reference:
- mean over the batch; the reference sums, so that its learning rate is ours divided by the batch size;
- 1 - p_iy is computed without cancellation, as -expm1(log p_iy), and its gradient is finite at p_iy = 1 for every gamma.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.errors import require, unknown_name
from bsd_core.methods.base import LogitsMethod, MethodConfig

SCHEDULES: Final = ("constant", "flsd53")


def flsd53_gamma(label_probs: Tensor, *, gamma: float) -> Tensor:
    """gamma_i of FLSD-53, without gradient.

    Args:
        label_probs: (B,) probability of each label.
        gamma: where that is 0.5 or more.

    Returns:
        (B,), of the type of `label_probs`.
    """
    label_probs = label_probs.detach()
    above = torch.full_like(label_probs, gamma)
    return above.masked_fill(label_probs < 0.5, 3.0).masked_fill(label_probs < 0.2, 5.0)


def focal_loss(logits: Tensor, targets: Tensor, *, gamma: float, schedule: str = "constant") -> dict[str, Tensor]:
    """The objective, as in the module's formula.

    Args:
        logits: (B, K).
        targets: (B,) int64.
        gamma: >= 0; 0 with schedule `constant` is plain cross-entropy.
        schedule: one of `SCHEDULES`.

    Returns:
        {"total": scalar}, the mean over the batch.

    Raises:
        ConfigError: gamma out of range, or an unknown schedule.
    """
    require(gamma >= 0, "gamma >= 0", gamma=gamma)
    if schedule not in SCHEDULES:
        raise unknown_name("focal schedule", schedule, SCHEDULES)
    log_label_probs = functional.log_softmax(logits, dim=1).gather(1, targets[:, None])[:, 0]  # (B,)
    doubt = -torch.expm1(log_label_probs)
    exponent = gamma if schedule == "constant" else flsd53_gamma(log_label_probs.exp(), gamma=gamma)
    # At zero the derivative of a power below 1 is infinite; a clamp keeps it from meeting log p = 0.
    weights = doubt.clamp_min(torch.finfo(doubt.dtype).tiny) ** exponent
    return {"total": -(weights * log_label_probs).mean()}


@dataclass(frozen=True, kw_only=True)
class FocalConfig(MethodConfig):
    """Settings of the focal loss."""

    gamma: float = 3.0  # >= 0; in flsd53, where the label has a probability of 0.5 or more
    schedule: str = "constant"  # constant, or flsd53: by the label's probability

    def __post_init__(self) -> None:
        require(0 <= self.gamma < math.inf, "0 <= gamma < inf", gamma=self.gamma)
        if self.schedule not in SCHEDULES:
            raise unknown_name("focal schedule", self.schedule, SCHEDULES)


class Focal(LogitsMethod):
    """Cross-entropy in which images that are learned count less."""

    Config = FocalConfig
    config: FocalConfig

    def loss(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The total is the focal loss."""
        return focal_loss(logits, targets, gamma=self.config.gamma, schedule=self.config.schedule)
