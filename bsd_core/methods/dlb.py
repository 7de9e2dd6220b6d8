"""DLB, self-distillation from the last mini-batch (Shen et al., CVPR 2022; reference code: Meta-knowledge-Lab/DLB, dlb.py).

    L = CE over {previous batch, seen again} and {current batch} + distill_weight * T^2 * mean_i KL( softmax(s_i / T) || softmax(z_i / T) )

s_i are the logits that the previous batch had in the step before, z_i those it has now, under another augmentation.

Same as the reference:
- the current batch passes, then the previous one, each with gradient and with batch normalisation's statistics of its own; the
  cross-entropy is the mean over all of their images;
- s is what the network said before the update of that step; no gradient reaches it;
- the KL term is summed over classes, divided by the images of the previous batch, and multiplied by T^2; its weight is called alpha;
- the first step is cross-entropy alone; later epochs begin with the last batch of the epoch before.
Different from the reference:
- each image is seen twice an epoch, so the published comparison halves the epochs; here the study's `budget` decides.
Settings: the code has no defaults; T = 3 and alpha = 1 are the published values as secondary sources have them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.data.batches import Batch
from bsd_core.errors import require
from bsd_core.methods.base import Method, Model, Step, Training
from bsd_core.methods.distillation import DistillationConfig, with_distillation


def dlb_loss(
    logits: Tensor, targets: Tensor, stored_logits: Tensor | None = None, *, temperature: float, distill_weight: float
) -> dict[str, Tensor]:
    """The DLB objective, as in the module's formula.

    Args:
        logits: (P + B, K), of the previous batch, then of the current one.
        targets: (P + B,) int64, given labels in the same order.
        stored_logits: (P, K) of the previous batch in the step before, no gradient reaches them; None in the first step, when P = 0.
        temperature: T > 0, softens both distributions.
        distill_weight: alpha >= 0; 0 is cross-entropy over both batches.

    Returns:
        Scalars "cross_entropy", "distillation" (with T^2, without its weight; 0 in the first step) and "total".

    Raises:
        ConfigError: temperature or weight out of range.
    """
    require(temperature > 0, "temperature > 0", temperature=temperature)
    require(distill_weight >= 0, "distill_weight >= 0", distill_weight=distill_weight)
    cross_entropy = functional.cross_entropy(logits, targets)
    if stored_logits is None:
        return {"cross_entropy": cross_entropy, "distillation": torch.zeros_like(cross_entropy), "total": cross_entropy}
    seen_again = logits[: len(stored_logits)]
    return with_distillation(cross_entropy, seen_again, stored_logits, temperature=temperature, distill_weight=distill_weight)


@dataclass(frozen=True, kw_only=True)
class DLBConfig(DistillationConfig):
    """Settings of DLB, with alpha as `distill_weight`; the defaults are the published ones."""

    temperature: float = 3.0
    distill_weight: float = 1.0

    needs = frozenset({"previous"})
    images_per_sample = 2.0


class LastBatchSelfDistillation(Method):
    """Pulls the prediction for the previous batch towards what it was a step ago."""

    Config = DLBConfig
    config: DLBConfig

    def __init__(self, config: DLBConfig, training: Training) -> None:
        super().__init__(config, training)
        self._device = training.targets.device
        self._stored: Tensor | None = None  # (P, K) logits of the batch of the step before; P varies, so this is no buffer

    def step(self, model: Model, batch: Batch) -> Step:
        """Trained passes over the current batch and over the previous one; in the first step over the current one alone."""
        stored, logits = self._stored, model(batch.images)
        all_logits, targets = logits, batch.targets
        if stored is not None:
            assert batch.previous_images is not None, "Batches repeat the one before for methods that need it"
            assert batch.previous_targets is not None, "Batches repeat the one before for methods that need it"
            all_logits = torch.cat([model(batch.previous_images), logits])
            targets = torch.cat([batch.previous_targets, targets])
        terms = dlb_loss(all_logits, targets, stored, temperature=self.config.temperature, distill_weight=self.config.distill_weight)
        self._stored = logits.detach().clone()  # what a compiled network returns is overwritten in the next step
        return Step(logits, terms, len(all_logits))

    def get_extra_state(self) -> dict[str, Any]:
        """The logits of the latest batch."""
        return {"stored": self._stored}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Continue from `get_extra_state()`."""
        self._stored = None if state["stored"] is None else state["stored"].to(self._device)
