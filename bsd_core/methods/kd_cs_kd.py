"""KD with CS-KD: the student learns from labels, from a teacher, and from its own prediction for another image of the class.

    L = (1 - a) CE + a T^2 mean_i KL( softmax(t_i / T) || softmax(z_i / T) )
                   + partner_weight * T^2 mean_i KL( softmax(sg[z'_i] / T) || softmax(z_i / T) )

The first line is KD (see `kd.py`: teacher t, a = distill_share, teacher from a file or trained first by cross-entropy alone), the second
CS-KD's term (see `cs_kd.py`: partner z').

CS-KD (Yun et al., CVPR 2020) reports the combination, but no equation for it was readable and its code does not hold it. Our reading: the
terms add up, with one temperature for both divergences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bsd_core.data.batches import Batch
from bsd_core.errors import require
from bsd_core.methods.base import Model, Step
from bsd_core.methods.distillation import distillation_loss
from bsd_core.methods.kd import KDConfig, KnowledgeDistillation, kd_loss


def kd_cs_kd_loss(
    logits: Tensor,
    teacher_logits: Tensor,
    partner_logits: Tensor,
    targets: Tensor,
    *,
    temperature: float,
    distill_share: float,
    partner_weight: float,
) -> dict[str, Tensor]:
    """The student's objective, as in the module's formula.

    Args:
        logits: (B, K) of the student.
        teacher_logits: (B, K); no gradient reaches them.
        partner_logits: (B, K) of the student, for the partners; no gradient reaches them.
        targets: (B,) int64, given labels.
        temperature: T > 0, softens all distributions.
        distill_share: a in [0, 1]; 0 is CS-KD.
        partner_weight: >= 0; 0 is KD.

    Returns:
        Scalars "cross_entropy", "distillation", "class_wise" (both with T^2, without their weight) and "total".

    Raises:
        ConfigError: temperature, share or weight out of range.
    """
    require(partner_weight >= 0, "partner_weight >= 0", partner_weight=partner_weight)
    terms = kd_loss(logits, teacher_logits, targets, temperature=temperature, distill_share=distill_share)
    class_wise = distillation_loss(logits, partner_logits, temperature=temperature)
    return {**terms, "class_wise": class_wise, "total": terms["total"] + partner_weight * class_wise}


@dataclass(frozen=True, kw_only=True)
class KDCSKDConfig(KDConfig):
    """Settings of KD with CS-KD."""

    partner_weight: float = 1.0  # weight of CS-KD's term; >= 0

    needs = frozenset({"partner"})
    student_passes = 3  # KD's, and the partners'

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.partner_weight < math.inf, "0 <= partner_weight < inf", partner_weight=self.partner_weight)


class TeacherAndClassWiseDistillation(KnowledgeDistillation):
    """Learns from a teacher, and from its own prediction for another image of the class."""

    Config = KDCSKDConfig
    config: KDCSKDConfig

    def _train_student(self, model: Model, batch: Batch) -> Step:
        """A trained pass of the student, one without gradient over the partners, and one of the teacher."""
        assert batch.partner_images is not None, "Batches give partners to methods that need them"
        logits = model(batch.images)
        with torch.no_grad():
            partner_logits = model(batch.partner_images)
            teacher_logits = self._call_teacher(batch.images)
        terms = kd_cs_kd_loss(
            logits,
            teacher_logits,
            partner_logits,
            batch.targets,
            temperature=self.config.temperature,
            distill_share=self.config.distill_share,
            partner_weight=self.config.partner_weight,
        )
        return Step(logits, terms, 3 * len(batch.images))
