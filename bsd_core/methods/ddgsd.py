"""DDGSD, data-distortion guided self-distillation (Xu & Liu, AAAI 2019).

    L = 1/2 [CE(z_a, y) + CE(z_b, y)] + distill_weight * mean_i [ KL(p_b || p_a) + KL(p_a || p_b) ]
        + mmd_weight * || mean_i f(a_i) - mean_i f(b_i) ||^2

a_i and b_i are two augmentations of image i, z their logits, p = softmax(z), f the features before the classifier; gradients flow through
both views everywhere. The last term is the squared maximum mean discrepancy with a linear kernel.

No official code was found. Two unofficial ones differ, and each is followed in part:
- youngerous/ddgsd-pytorch: gradients flow through both sides of both divergences (winycg/Self-KD-Lib detaches the teacher's side, which
  changes the gradient, not the value); its MSE between logits in the place of the discrepancy is not followed;
- winycg/Self-KD-Lib: both views pass together, and the discrepancy is that of features. It compares one number a view, the mean over all
  features; ours compares the vectors of means, as the definition says. Its divergences have a temperature (4 by default); ours have none.
Ours alone: the two cross-entropies are averaged, so that the loss stays on the scale of the other methods'; against the definition, which
sums them, both weights count double. The weights 1 and 5e-4 are what the former code calls the paper's; half of them is the exact
translation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.data.batches import Batch
from bsd_core.errors import require
from bsd_core.methods.base import Method, MethodConfig, Model, Step


def symmetric_divergence(logits: Tensor, other_logits: Tensor) -> Tensor:
    """mean_i KL(p || p') + KL(p' || p) = mean_i sum_k (p - p') (log p - log p'), of two (B, K) logits; gradients reach both."""
    log_probs, other_log_probs = functional.log_softmax(logits, dim=1), functional.log_softmax(other_logits, dim=1)
    return ((log_probs.exp() - other_log_probs.exp()) * (log_probs - other_log_probs)).sum(1).mean()


def mean_discrepancy(features: Tensor, other_features: Tensor) -> Tensor:
    """Squared Euclidean distance between the batch means of two (B, D) features: the squared MMD with a linear kernel."""
    return (features.mean(0) - other_features.mean(0)).square().sum()


def ddgsd_loss(
    logits: Tensor,
    second_logits: Tensor,
    features: Tensor,
    second_features: Tensor,
    targets: Tensor,
    *,
    distill_weight: float,
    mmd_weight: float,
) -> dict[str, Tensor]:
    """The DDGSD objective, as in the module's formula; it is the same where the two views change places.

    Args:
        logits: (B, K) of the first view.
        second_logits: (B, K) of the second one.
        features: (B, D) of the first view.
        second_features: (B, D) of the second one.
        targets: (B,) int64, given labels.
        distill_weight: >= 0, of the divergences; 0 with `mmd_weight` 0 is cross-entropy over both views.
        mmd_weight: >= 0, of the discrepancy.

    Returns:
        Scalars "cross_entropy", "distillation", "discrepancy" (without their weights) and "total".

    Raises:
        ConfigError: a weight out of range.
    """
    require(distill_weight >= 0, "distill_weight >= 0", distill_weight=distill_weight)
    require(mmd_weight >= 0, "mmd_weight >= 0", mmd_weight=mmd_weight)
    cross_entropy = (functional.cross_entropy(logits, targets) + functional.cross_entropy(second_logits, targets)) / 2
    distillation = symmetric_divergence(logits, second_logits)
    discrepancy = mean_discrepancy(features, second_features)
    return {
        "cross_entropy": cross_entropy,
        "distillation": distillation,
        "discrepancy": discrepancy,
        "total": cross_entropy + distill_weight * distillation + mmd_weight * discrepancy,
    }


@dataclass(frozen=True, kw_only=True)
class DDGSDConfig(MethodConfig):
    """Settings of DDGSD; the defaults are the published ones, as secondary sources have them."""

    distill_weight: float = 1.0  # weight of both divergences; >= 0
    mmd_weight: float = 5e-4  # weight of the discrepancy of the features; >= 0

    needs = frozenset({"second_view"})
    images_per_sample = 2.0

    def __post_init__(self) -> None:
        require(0 <= self.distill_weight < math.inf, "0 <= distill_weight < inf", distill_weight=self.distill_weight)
        require(0 <= self.mmd_weight < math.inf, "0 <= mmd_weight < inf", mmd_weight=self.mmd_weight)


class DataDistortionSelfDistillation(Method):
    """Brings the predictions and features for two views of the same images together."""

    Config = DDGSDConfig
    config: DDGSDConfig

    def step(self, model: Model, batch: Batch) -> Step:
        """One trained pass over both views."""
        assert batch.second_images is not None, "Batches give second views to methods that need them"
        features = model.features(torch.cat([batch.images, batch.second_images]))
        logits, second_logits = model.classifier(features).chunk(2)
        first_features, second_features = features.chunk(2)
        terms = ddgsd_loss(
            logits,
            second_logits,
            first_features,
            second_features,
            batch.targets,
            distill_weight=self.config.distill_weight,
            mmd_weight=self.config.mmd_weight,
        )
        return Step(logits, terms, 2 * len(batch.images))
