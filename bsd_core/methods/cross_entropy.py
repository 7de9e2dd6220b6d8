"""Cross-entropy on the given label: L = mean_i -log p_i[y_i]. The baseline."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torch.nn import functional

from bsd_core.data.batches import Batch
from bsd_core.methods.base import Method, MethodConfig, Step


@dataclass(frozen=True, kw_only=True)
class CrossEntropyConfig(MethodConfig):
    """Cross-entropy has no settings."""


class CrossEntropy(Method):
    """Plain supervised training."""

    Config = CrossEntropyConfig

    def step(self, model: nn.Module, batch: Batch) -> Step:
        """One forward pass; the total is the cross-entropy."""
        logits = model(batch.images)
        return Step(logits, {"total": functional.cross_entropy(logits, batch.targets)})
