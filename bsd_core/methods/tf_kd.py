"""TF-KD, teacher-free distillation by a virtual teacher (Yuan et al., CVPR 2020; code: yuanli2333/Teacher-free-Knowledge-Distillation).

    L = (1 - a) mean_i CE(z_i, y_i) + a * multiplier * mean_i KL( t_i || softmax(z_i) )
    t_i = softmax(u_i / T),    u_iy = 0.99, u_ik = 0.01 / (K - 1) elsewhere

a is `distill_weight`, T is `temperature`. This is the paper's regularisation ("reg"). Its self-training with a trained teacher of the
same architecture ("self") is ordinary distillation and stands under `kd`.

Same as the reference:
- the softmax is taken of probabilities u, so that t is nearly uniform: close to label smoothing;
- the student is not softened, and there is no factor T^2.
Different from the reference:
- KL is a mean over images; the reference also divides by K, so that its multiplier is ours times K (its 100 on CIFAR-100 is our 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.errors import require
from bsd_core.methods.base import LogitsMethod, MethodConfig


def virtual_teacher(
    targets: Tensor, n_classes: int, *, temperature: float, label_prob: float = 0.99, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Rows t_i of the module's formula.

    Args:
        targets: (B,) int64.
        n_classes: K > 1.
        temperature: T > 0.
        label_prob: u at the label.
        dtype: of the result.

    Returns:
        (B, K), rows sum to 1, on the device of `targets`.
    """
    # All rows hold the same two values, so the softmax is taken once, on the host.
    gap = (label_prob - (1 - label_prob) / (n_classes - 1)) / temperature
    other = 1 / (n_classes - 1 + math.exp(gap)) if gap < 700 else 0.0
    teacher = torch.full((len(targets), n_classes), other, dtype=dtype, device=targets.device)
    return teacher.scatter_(1, targets[:, None], 1 - (n_classes - 1) * other)


def tf_kd_loss(logits: Tensor, targets: Tensor, *, temperature: float, distill_weight: float, multiplier: float) -> dict[str, Tensor]:
    """The objective, as in the module's formula.

    Args:
        logits: (B, K).
        targets: (B,) int64.
        temperature: T > 0, softens the virtual teacher alone.
        distill_weight: a in [0, 1]; 0 is plain cross-entropy.
        multiplier: >= 0, of the divergence.

    Returns:
        Scalars "cross_entropy", "distillation" (without weights) and "total".

    Raises:
        ConfigError: a setting out of range.
    """
    require(temperature > 0, "temperature > 0", temperature=temperature)
    require(0 <= distill_weight <= 1, "0 <= distill_weight <= 1", distill_weight=distill_weight)
    require(multiplier >= 0, "multiplier >= 0", multiplier=multiplier)
    log_probs = functional.log_softmax(logits, dim=1)
    teacher = virtual_teacher(targets, logits.shape[1], temperature=temperature, dtype=logits.dtype)
    cross_entropy = functional.nll_loss(log_probs, targets)
    distillation = functional.kl_div(log_probs, teacher, reduction="batchmean")
    total = (1 - distill_weight) * cross_entropy + distill_weight * multiplier * distillation
    return {"cross_entropy": cross_entropy, "distillation": distillation, "total": total}


@dataclass(frozen=True, kw_only=True)
class TFKDConfig(MethodConfig):
    """Settings of TF-KD; the defaults are the reference's for ResNet-18 on CIFAR-100."""

    temperature: float = 20.0  # of the virtual teacher; > 0
    distill_weight: float = 0.1  # a, share of the teacher's term; in [0, 1]
    multiplier: float = 1.0  # of the divergence, the reference's divided by K; >= 0

    def __post_init__(self) -> None:
        require(0 < self.temperature < math.inf, "0 < temperature < inf", temperature=self.temperature)
        require(0 <= self.distill_weight <= 1, "0 <= distill_weight <= 1", distill_weight=self.distill_weight)
        require(0 <= self.multiplier < math.inf, "0 <= multiplier < inf", multiplier=self.multiplier)


class TeacherFreeDistillation(LogitsMethod):
    """Distils from a teacher that is designed, not trained."""

    Config = TFKDConfig
    config: TFKDConfig

    def loss(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Cross-entropy and the divergence from the virtual teacher."""
        return tf_kd_loss(
            logits,
            targets,
            temperature=self.config.temperature,
            distill_weight=self.config.distill_weight,
            multiplier=self.config.multiplier,
        )
