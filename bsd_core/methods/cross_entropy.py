"""Cross-entropy on the given label: L = mean_i -log p_i[y_i]. The baseline.

Source: torch's `cross_entropy`. Same as the reference: everything.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from bsd_core.methods.base import LogitsMethod, MethodConfig


@dataclass(frozen=True, kw_only=True)
class CrossEntropyConfig(MethodConfig):
    """Cross-entropy has no settings."""


class CrossEntropy(LogitsMethod):
    """Plain supervised training."""

    Config = CrossEntropyConfig

    def loss(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The total is the cross-entropy."""
        return {"total": functional.cross_entropy(logits, targets)}
