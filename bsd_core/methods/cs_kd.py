"""CS-KD, class-wise self-knowledge distillation (Yun et al., CVPR 2020; reference code: alinlab/cs-kd).

    L = mean_i CE(z_i, y_i) + distill_weight * T^2 * mean_i KL( softmax(sg[z'_i] / T) || softmax(z_i / T) )

z'_i are the logits of another image with the same given label; sg[.] stops the gradient.

Same as the reference:
- the partner is drawn uniformly, with replacement, from all images of the label, the primary itself included;
- primary and partner are augmented independently;
- a step has `batch_size` primaries and as many partners; cross-entropy sees the primaries alone;
- the partners pass without gradient but in training mode: batch normalisation uses their own statistics and updates the running ones
  a second time;
- the KL term is summed over classes, divided by the number of primaries, and multiplied by T^2; its name for distill_weight is lambda.
Different from the reference:
- the last batch of an epoch may not be a single image (it joins the batch before it);
- the learning rate follows the study's schedule, set every step; the reference's steps fall one epoch late because its rate is
  updated after the epoch;
- the network that counts is the last epoch's; the reference keeps the epoch with the best test accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.data.batches import Batch
from bsd_core.methods.base import Method, Model, Step
from bsd_core.methods.distillation import DistillationConfig, with_distillation


def cs_kd_loss(logits: Tensor, partner_logits: Tensor, targets: Tensor, *, temperature: float, distill_weight: float) -> dict[str, Tensor]:
    """The CS-KD objective, as in the module's formula.

    Args:
        logits: (B, K) of the primaries.
        partner_logits: (B, K) of their partners; no gradient reaches them.
        targets: (B,) int64, given labels.
        temperature: T > 0, softens both distributions.
        distill_weight: lambda >= 0; 0 is plain cross-entropy.

    Returns:
        Scalars "cross_entropy", "distillation" (with T^2, without lambda) and "total".

    Raises:
        ConfigError: temperature or weight out of range.
    """
    cross_entropy = functional.cross_entropy(logits, targets)
    return with_distillation(cross_entropy, logits, partner_logits, temperature=temperature, distill_weight=distill_weight)


@dataclass(frozen=True, kw_only=True)
class CSKDConfig(DistillationConfig):
    """Settings of CS-KD, with lambda as `distill_weight`; the defaults are the reference's for CIFAR."""

    temperature: float = 4.0
    distill_weight: float = 1.0

    needs = frozenset({"partner"})
    images_per_sample = 2.0


class ClassWiseSelfDistillation(Method):
    """Pulls the prediction for an image towards that for another image of its class."""

    Config = CSKDConfig
    config: CSKDConfig

    def step(self, model: Model, batch: Batch) -> Step:
        """A trained pass over the primaries, then a pass without gradient over the partners."""
        assert batch.partner_images is not None, "Batches give partners to methods that need them"
        logits = model(batch.images)
        with torch.no_grad():
            partner_logits = model(batch.partner_images)
        terms = cs_kd_loss(
            logits,
            partner_logits,
            batch.targets,
            temperature=self.config.temperature,
            distill_weight=self.config.distill_weight,
        )
        return Step(logits, terms, 2 * len(batch.images))
