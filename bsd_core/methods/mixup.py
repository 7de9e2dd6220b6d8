"""mixup (Zhang et al., ICLR 2018; reference code: facebookresearch/mixup-cifar10); the formulas stand in `mixing.py`.

Same as the reference:
- one lam ~ Beta(alpha, alpha) and one permutation for a whole batch, drawn anew every step; an image may meet itself;
- images are mixed after augmentation and normalisation, labels by mixing the two cross-entropies.
Different from the reference:
- both draws depend on seed and step alone, not on a global stream;
- the accuracy in the record of a training is against the first label; the reference counts lam hits of the one and 1 - lam of the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bsd_core.data.batches import Batch
from bsd_core.errors import require
from bsd_core.methods.base import Method, MethodConfig, Model, Step, Training
from bsd_core.methods.mixing import draw_mix, mix, mixup_loss


@dataclass(frozen=True, kw_only=True)
class MixupConfig(MethodConfig):
    """Settings of mixup; the default is the reference's."""

    alpha: float = 1.0  # lam ~ Beta(alpha, alpha); >= 0, and 0 is plain cross-entropy, large is half and half

    def __post_init__(self) -> None:
        require(0 <= self.alpha < math.inf, "0 <= alpha < inf", alpha=self.alpha)


class Mixup(Method):
    """Learns from images that are mixed with each other, and their labels with them."""

    Config = MixupConfig
    config: MixupConfig

    def __init__(self, config: MixupConfig, training: Training) -> None:
        super().__init__(config, training)
        self._seed = training.seed

    def step(self, model: Model, batch: Batch) -> Step:
        """One forward pass over the mixed images."""
        lam, permutation = draw_mix(self._seed, batch.step, len(batch.images), self.config.alpha, batch.images.device)
        logits = model(mix(batch.images, permutation, lam))
        return Step(logits, {"total": mixup_loss(logits, batch.targets, batch.targets[permutation], lam)}, len(batch.images))
