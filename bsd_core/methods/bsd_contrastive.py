"""BSD with contrastive regularisation: BSD's loss on the weak view, CTRR's term on two strong views. One network, one stage.

    L = L_BSD(weak view) + contrastive_weight * L_ctr(strong views)

BSD's paper (arXiv 2512.24162) names a contrastive variant; that its regulariser is like CTRR's (Yi et al., CVPR 2022; see
`contrastive.py`) is our reading: no text with an equation was readable. BSD is as in `bsd.py`.

Same as CTRR's reference (liyi01827/noisy-contrastive):
- queries are predictor(projector(features)) of the first strong view; keys are projector(features) of the second one, by a copy of
  network and projector whose weights are an exponential moving average with momentum 0.99;
- the average is updated within a step, before the keys: it takes in the weights that the last optimiser step left;
- the copy runs in training mode, without gradient: normalisation uses the batch, and its running statistics are its own;
- the weak view's predictions, detached, weigh the pairs.
Different from CTRR's reference:
- BSD's loss stands in the place of cross-entropy or GCE;
- the heads' widths follow the network's features (the reference's at 512), and batches may be short;
- strong views are the study's augmentation with RandAugment-lite (see `data/augment.py`), the weak one is the study's augmentation;
  the reference has random resized crops, colour jitter and greyscale, and a random resized crop.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch.nn import functional
from torch.optim.swa_utils import get_ema_multi_avg_fn

from bsd_core.data.batches import Batch
from bsd_core.errors import require
from bsd_core.methods.base import Model, Step, Training
from bsd_core.methods.bsd import BayesianSelfDistillation, BSDConfig
from bsd_core.methods.contrastive import contrastive_loss, mlp_head
from bsd_core.seeds import derive_seed


@dataclass(frozen=True, kw_only=True)
class BSDContrastiveConfig(BSDConfig):
    """Settings of BSD with contrastive regularisation; CTRR's own have its defaults for CIFAR-10 with little noise."""

    contrastive_weight: float = 50.0  # CTRR's lambda; >= 0
    threshold: float = 0.4  # CTRR's tau: pairs whose predictions agree less are no pairs; in [0, 1]
    momentum: float = 0.99  # of the average of the weights behind the keys; in [0, 1]
    embedding_size: int = 128  # length of queries and keys; >= 1

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.contrastive_weight < math.inf, "0 <= contrastive_weight < inf", contrastive_weight=self.contrastive_weight)
        require(0 <= self.threshold <= 1, "0 <= threshold <= 1", threshold=self.threshold)
        require(0 <= self.momentum <= 1, "0 <= momentum <= 1", momentum=self.momentum)
        require(self.embedding_size >= 1, "embedding_size >= 1", embedding_size=self.embedding_size)

    @property
    def needs(self) -> frozenset[str]:
        """Two strong views besides what BSD needs."""
        return super().needs | {"strong_views"}

    @property
    def images_per_sample(self) -> float:
        """A pass for each strong view."""
        return super().images_per_sample + 2.0


class ContrastiveBayesianSelfDistillation(BayesianSelfDistillation):
    """BSD whose features are also drawn together where its predictions agree.

    Attributes:
        projector, predictor: heads of the network in training, learnt with it.
        key_network, key_projector: slow copies of network and projector, never trained.
    """

    Config = BSDContrastiveConfig
    config: BSDContrastiveConfig

    def __init__(self, config: BSDContrastiveConfig, training: Training) -> None:
        super().__init__(config, training)
        size = config.embedding_size
        self.projector = mlp_head(training.network.n_features, size, seed=derive_seed(training.seed, "projector"))
        self.predictor = mlp_head(size, size, seed=derive_seed(training.seed, "predictor"))
        self.key_network = copy.deepcopy(training.network).requires_grad_(False)
        self.key_projector = copy.deepcopy(self.projector).requires_grad_(False)
        # Held in a tuple and in lists, so that the network in training is no part of this module, nor its copy twice.
        self._key_runner = (training.runner(self.key_network),)
        self._online = [*training.network.parameters(), *self.projector.parameters()]
        self._averages = [*self.key_network.parameters(), *self.key_projector.parameters()]

    def step(self, model: Model, batch: Batch) -> Step:
        """BSD's pass over the weak view, a trained one over the first strong view, one without gradient over the second."""
        assert batch.strong_images is not None, "Batches give strong views to methods that need them"
        for_queries, for_keys = batch.strong_images
        step = super().step(model, batch)
        queries = self.predictor(self.projector(model.features(for_queries)))
        with torch.no_grad():
            get_ema_multi_avg_fn(self.config.momentum)(self._averages, self._online, None)  # type: ignore[no-untyped-call]
            keys = self.key_projector(self._key_runner[0].features(for_keys))
        probs = functional.softmax(step.logits.detach(), dim=1)
        contrastive = contrastive_loss(queries, keys, probs, threshold=self.config.threshold)
        terms = {
            "posterior": step.terms["total"],
            "contrastive": contrastive,
            "total": step.terms["total"] + self.config.contrastive_weight * contrastive,
        }
        return Step(step.logits, terms, 3 * len(batch.images))
