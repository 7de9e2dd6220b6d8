"""CS-KD-E: CS-KD, and agreement between an image and a second augmentation of itself.

    L = mean_i CE(z_i, y_i) + distill_weight * T^2 * mean_i KL( softmax(sg[z'_i] / T) || softmax(z_i / T) )
                            +    view_weight * T^2 * mean_i KL( softmax(sg[v_i] / T) || softmax(z_i / T) )

z'_i are the logits of another image with the same given label, v_i those of the same image, augmented independently; sg[.] stops the
gradient.

No reference code exists, and no text with an equation was readable: the name and the idea are given, the rest is our reading.
Same as CS-KD (see `cs_kd.py`): pairs, teacher and student of the first divergence, reductions, T^2.
Our reading:
- the second view is the teacher, as the partner is in CS-KD: detached, a pass without gradient in training mode;
- one temperature for both divergences;
- partners and second views pass separately, so that batch normalisation sees one kind of image at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bsd_core.data.batches import Batch
from bsd_core.errors import require
from bsd_core.methods.base import Method, Model, Step
from bsd_core.methods.cs_kd import CSKDConfig, cs_kd_loss
from bsd_core.methods.distillation import distillation_loss


def cs_kd_e_loss(
    logits: Tensor,
    partner_logits: Tensor,
    view_logits: Tensor,
    targets: Tensor,
    *,
    temperature: float,
    distill_weight: float,
    view_weight: float,
) -> dict[str, Tensor]:
    """The CS-KD-E objective, as in the module's formula.

    Args:
        logits: (B, K) of the primaries.
        partner_logits: (B, K) of their partners; no gradient reaches them.
        view_logits: (B, K) of the primaries' second views; no gradient reaches them.
        targets: (B,) int64, given labels.
        temperature: T > 0, softens all distributions.
        distill_weight: >= 0, of the partners; 0 leaves the second views alone.
        view_weight: >= 0, of the second views; 0 is CS-KD.

    Returns:
        Scalars "cross_entropy", "distillation", "consistency" (both with T^2, without their weight) and "total".

    Raises:
        ConfigError: temperature or a weight out of range.
    """
    require(view_weight >= 0, "view_weight >= 0", view_weight=view_weight)
    terms = cs_kd_loss(logits, partner_logits, targets, temperature=temperature, distill_weight=distill_weight)
    consistency = distillation_loss(logits, view_logits, temperature=temperature)
    return {**terms, "consistency": consistency, "total": terms["total"] + view_weight * consistency}


@dataclass(frozen=True, kw_only=True)
class CSKDEConfig(CSKDConfig):
    """Settings of CS-KD-E; CS-KD's own have its defaults."""

    view_weight: float = 1.0  # weight of the KL term of the second views; >= 0

    needs = frozenset({"partner", "second_view"})
    images_per_sample = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.view_weight < math.inf, "0 <= view_weight < inf", view_weight=self.view_weight)


class ClassAndViewSelfDistillation(Method):
    """Pulls the prediction for an image towards those for another image of its class and for another view of itself."""

    Config = CSKDEConfig
    config: CSKDEConfig

    def step(self, model: Model, batch: Batch) -> Step:
        """A trained pass over the primaries, then passes without gradient over partners and second views."""
        assert batch.partner_images is not None, "Batches give partners to methods that need them"
        assert batch.second_images is not None, "Batches give second views to methods that need them"
        logits = model(batch.images)
        with torch.no_grad():
            partner_logits, view_logits = model(batch.partner_images), model(batch.second_images)
        terms = cs_kd_e_loss(
            logits,
            partner_logits,
            view_logits,
            batch.targets,
            temperature=self.config.temperature,
            distill_weight=self.config.distill_weight,
            view_weight=self.config.view_weight,
        )
        return Step(logits, terms, 3 * len(batch.images))
