"""Mixup with CS-KD: both terms of CS-KD on mixed images and mixed labels.

    x~_i = lam x_i + (1 - lam) x_r(i)        x~'_i = lam x'_i + (1 - lam) x'_r(i)
    L = lam mean_i CE(z~_i, y_i) + (1 - lam) mean_i CE(z~_i, y_r(i))
        + distill_weight * T^2 * mean_i KL( softmax(sg[z~'_i] / T) || softmax(z~_i / T) )

x'_i is another image with the label of x_i; z~ and z~' are the logits of mixed primaries and mixed partners; lam ~ Beta(alpha, alpha)
and the permutation r are drawn once a batch (see `mixing.py`).

CS-KD (Yun et al., CVPR 2020) reports the combination, but no equation for it was readable and its code does not hold it. Our reading:
- partners are mixed with the same lam and r as primaries. Then x~'_i has the mixed label of x~_i, so that CS-KD's rule, "another input
  with the same label", holds for mixed labels too, and a step costs what one of CS-KD does;
- all else is as in `cs_kd.py`, alpha = 0 included, which is CS-KD itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bsd_core.data.batches import Batch
from bsd_core.errors import require
from bsd_core.methods.base import Method, Model, Step, Training
from bsd_core.methods.cs_kd import CSKDConfig
from bsd_core.methods.distillation import with_distillation
from bsd_core.methods.mixing import draw_mix, mix, mixup_loss


def mixup_cs_kd_loss(
    logits: Tensor,
    partner_logits: Tensor,
    targets: Tensor,
    mixed_targets: Tensor,
    lam: float,
    *,
    temperature: float,
    distill_weight: float,
) -> dict[str, Tensor]:
    """The objective, as in the module's formula.

    Args:
        logits: (B, K) of the mixed primaries.
        partner_logits: (B, K) of the mixed partners; no gradient reaches them.
        targets: (B,) int64, given labels.
        mixed_targets: (B,) int64, labels of the images mixed in.
        lam: in [0, 1], the share of `targets`.
        temperature: T > 0, softens both distributions.
        distill_weight: >= 0; 0 is mixup.

    Returns:
        Scalars "cross_entropy", "distillation" (with T^2, without its weight) and "total".

    Raises:
        ConfigError: temperature or weight out of range.
    """
    cross_entropy = mixup_loss(logits, targets, mixed_targets, lam)
    return with_distillation(cross_entropy, logits, partner_logits, temperature=temperature, distill_weight=distill_weight)


@dataclass(frozen=True, kw_only=True)
class MixupCSKDConfig(CSKDConfig):
    """Settings of mixup with CS-KD; the defaults are those of mixup's and CS-KD's codes for CIFAR."""

    alpha: float = 1.0  # lam ~ Beta(alpha, alpha); >= 0, 0 is CS-KD

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.alpha < math.inf, "0 <= alpha < inf", alpha=self.alpha)


class MixupClassWiseSelfDistillation(Method):
    """Pulls the prediction for a mixed image towards that for a mixed image of the same two classes."""

    Config = MixupCSKDConfig
    config: MixupCSKDConfig

    def __init__(self, config: MixupCSKDConfig, training: Training) -> None:
        super().__init__(config, training)
        self._seed = training.seed

    def step(self, model: Model, batch: Batch) -> Step:
        """A trained pass over the mixed primaries, then a pass without gradient over the mixed partners."""
        assert batch.partner_images is not None, "Batches give partners to methods that need them"
        lam, permutation = draw_mix(self._seed, batch.step, len(batch.images), self.config.alpha, batch.images.device)
        logits = model(mix(batch.images, permutation, lam))
        with torch.no_grad():
            partner_logits = model(mix(batch.partner_images, permutation, lam))
        terms = mixup_cs_kd_loss(
            logits,
            partner_logits,
            batch.targets,
            batch.targets[permutation],
            lam,
            temperature=self.config.temperature,
            distill_weight=self.config.distill_weight,
        )
        return Step(logits, terms, 2 * len(batch.images))
