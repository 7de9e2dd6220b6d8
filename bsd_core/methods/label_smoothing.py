"""Label smoothing, uniform convention: t = (1 - e) e_y + e / K, L = mean_i -sum_k t_ik log p_ik.

Source: Szegedy et al., CVPR 2016. Same as: torch's `cross_entropy(label_smoothing=e)`.
Different from: the "others" convention t_y = 1 - e, t_j = e / (K - 1) (Teacher-free KD and others); its e is this e times (K - 1) / K.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from bsd_core.errors import require
from bsd_core.methods.base import LogitsMethod, MethodConfig


def label_smoothing_loss(logits: Tensor, targets: Tensor, *, smoothing: float) -> dict[str, Tensor]:
    """Cross-entropy against the smoothed label.

    Args:
        logits: (B, K).
        targets: (B,) int64.
        smoothing: e in [0, 1), mass spread evenly over all K classes, the label's own included.

    Returns:
        {"total": scalar}, the mean over the batch.

    Raises:
        ConfigError: smoothing out of range.
    """
    require(0 <= smoothing < 1, "0 <= smoothing < 1", smoothing=smoothing)
    return {"total": functional.cross_entropy(logits, targets, label_smoothing=smoothing)}


@dataclass(frozen=True, kw_only=True)
class LabelSmoothingConfig(MethodConfig):
    """Settings of label smoothing."""

    smoothing: float = 0.1  # e; in [0, 1), 0 means plain cross-entropy

    def __post_init__(self) -> None:
        require(0 <= self.smoothing < 1, "0 <= smoothing < 1", smoothing=self.smoothing)


class LabelSmoothing(LogitsMethod):
    """Cross-entropy against softened labels."""

    Config = LabelSmoothingConfig
    config: LabelSmoothingConfig

    def loss(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The total is the smoothed cross-entropy."""
        return label_smoothing_loss(logits, targets, smoothing=self.config.smoothing)
