"""BSD, Bayesian self-distillation (arXiv 2512.24162; renamed Deep Probabilistic Supervision in its second version).

Each training sample i has a Dirichlet posterior over its label, a row a_i of an N x K table:

    prior      a_i = prior_strength at the given label, epsilon elsewhere
    evidence   a_i <- discount * a_i + sg[softmax(z_i / temperature)]        whenever the sample is seen
    target     m_i = a_i / sum_k a_ik                                        the posterior mean, after the update
    loss       L = mean_i -sum_k m_ik log softmax(z_i)_k

Only the prior uses the label. No teacher, no second pass.

Source: prior and discounted update are as secondary sources quote the paper; that the target is normalised and the loss is a
cross-entropy follows from its abstract. The authors' code was not available to us, nor any of its hyperparameters.
Our reading where the paper's text was not readable:
- the evidence comes from the training-mode, augmented pass that is also trained, detached, and the update precedes the loss; setting
  `evidence=clean` takes it from a pass over all plain images in evaluation mode after each whole epoch instead, which costs that pass
  (the last one only serves the label estimates);
- `warmup_epochs` (default 0) hold the target at the prior's mean, which is almost the given label, before the first update;
- `temperature` of the evidence is ours to search; 1 is the paper's (below 1: sharper evidence);
- `discount` is in (0, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from torch import Tensor
from torch.nn import functional

from bsd_core.data.batches import Batch
from bsd_core.errors import ConfigError, require, unknown_name
from bsd_core.methods.base import Method, MethodConfig, Model, Step, Training
from bsd_core.methods.posterior import MEMORIES, PosteriorTable, prior

__all__ = ["BSDConfig", "BayesianSelfDistillation", "bsd_loss", "prior", "update_posterior"]

EVIDENCE: Final = ("clean", "train")


def update_posterior(alpha: Tensor, probs: Tensor, *, discount: float) -> tuple[Tensor, Tensor]:
    """One discounted update and the posterior mean after it.

    Args:
        alpha: (B, K) Dirichlet parameters.
        probs: (B, K) evidence, rows sum to 1; detached here.
        discount: gamma in [0, 1], how much of the old parameters is kept.

    Returns:
        (new alpha (B, K), target (B, K) whose rows sum to 1), without gradient.

    Raises:
        ConfigError: discount out of range.
    """
    require(0 <= discount <= 1, "0 <= discount <= 1", discount=discount)
    updated = discount * alpha + probs.detach()
    return updated, updated / updated.sum(dim=1, keepdim=True)


def bsd_loss(logits: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Cross-entropy against the posterior mean: {"total": mean_i -sum_k target_ik log softmax(logits_i)_k}."""
    return {"total": functional.cross_entropy(logits, target.to(logits.dtype))}


@dataclass(frozen=True, kw_only=True)
class BSDConfig(MethodConfig):
    """Settings of BSD; the defaults are ours (no published values were readable)."""

    prior_strength: float = 10.0  # c, pseudo-counts behind the given label; in (0, 1e30], cross-entropy in the limit
    discount: float = 0.9  # gamma, share of the old evidence kept at each update; in (0, 1]
    temperature: float = 1.0  # of the evidence, softmax(z / temperature); > 0, below 1 sharpens
    epsilon: float = 1e-8  # pseudo-counts of every other class; >= 0
    warmup_epochs: int = 0  # epochs on the prior's mean before the first update; >= 0
    evidence: str = "train"  # train: the augmented pass that is trained; clean: a pass over all plain images after each epoch
    memory: str = "float32"  # of the table: float32, bfloat16 or top_k (see `posterior.py`)
    top_k: int = 64  # classes kept by memory top_k; as many as there are where that is less

    def __post_init__(self) -> None:
        require(0 < self.prior_strength <= 1e30, "0 < prior_strength <= 1e30", prior_strength=self.prior_strength)
        require(0 < self.discount <= 1, "0 < discount <= 1", discount=self.discount)
        require(0 < self.temperature < math.inf, "0 < temperature < inf", temperature=self.temperature)
        require(0 <= self.epsilon < math.inf, "0 <= epsilon < inf", epsilon=self.epsilon)
        require(self.warmup_epochs >= 0, "warmup_epochs >= 0", warmup_epochs=self.warmup_epochs)
        require(self.top_k >= 1, "top_k >= 1", top_k=self.top_k)
        for name, known in (("evidence", EVIDENCE), ("memory", MEMORIES)):
            if getattr(self, name) not in known:
                raise unknown_name(f"bsd {name}", getattr(self, name), known)

    @property
    def needs(self) -> frozenset[str]:
        """A clean pass where the evidence comes from it."""
        return frozenset({"clean_pass"} if self.evidence == "clean" else {})


class BayesianSelfDistillation(Method):
    """Learns from a posterior over each sample's label, fed by the network's own predictions."""

    Config = BSDConfig
    config: BSDConfig

    def __init__(self, config: BSDConfig, training: Training) -> None:
        super().__init__(config, training)
        if config.warmup_epochs and config.warmup_epochs >= training.epochs:
            raise ConfigError(
                f"The posterior would never be updated: bsd's warmup_epochs is {config.warmup_epochs}, of {training.epochs} epochs in all."
            )
        self.posterior = PosteriorTable(
            training.targets,
            training.n_classes,
            prior_strength=config.prior_strength,
            epsilon=config.epsilon,
            memory=config.memory,
            top_k=min(config.top_k, training.n_classes),
            seed=training.seed,
        )

    def step(self, model: Model, batch: Batch) -> Step:
        """One forward pass feeds both the posterior and the loss."""
        logits = model(batch.images)
        if self.config.evidence == "train" and batch.epoch >= self.config.warmup_epochs:
            target = self._update(batch.indices, logits, key=("step", batch.step))
        else:
            alpha = self.posterior.read(batch.indices)
            target = alpha / alpha.sum(dim=1, keepdim=True)
        return Step(logits, bsd_loss(logits, target), len(batch.images))

    def observe(self, indices: Tensor, logits: Tensor, *, epoch: int, chunk: int) -> None:
        """Evidence from the clean pass, once its epoch is past the warm-up."""
        if epoch >= self.config.warmup_epochs:
            self._update(indices, logits, key=("clean", epoch, chunk))

    def _update(self, indices: Tensor, logits: Tensor, *, key: tuple[object, ...]) -> Tensor:
        """Take in the evidence of `logits` (B, K); the posterior mean after it."""
        evidence = functional.softmax(logits.detach().float() / self.config.temperature, dim=1)
        updated, target = update_posterior(self.posterior.read(indices), evidence, discount=self.config.discount)
        self.posterior.write(indices, updated, key=key)
        return target

    def label_estimates(self) -> Tensor:
        """(N,) int64, the most probable label under each posterior."""
        return self.posterior.most_probable()
