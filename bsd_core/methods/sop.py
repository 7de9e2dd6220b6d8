"""SOP, sparse over-parameterisation of label noise (Liu et al., ICML 2022; reference code: shengliu66/SOP).

Each training sample i has a scalar u_i and a row v_i that model how far its label e_y is from the truth:

    U_i = min(u_i^2, 1) e_y,    V_i = min(v_i^2, 1) (1 - e_y)
    p~_i = max(p_i + U_i - sg[V_i], 1e-4), divided by its sum, then at least 1e-4
    L = mean_i -log p~_iy + mean_i || onehot(argmax z_i) + U_i - V_i - e_y ||^2
        + balance_weight * -mean_k log(mean_i p~_ik) + consistency_weight * mean_i KL( sg[p_i] || p'_i )

p = softmax(z), p' that of a second view. u and v learn by plain SGD with rates of their own, on the same loss; squares that start at almost
nothing stay there unless a label is persistently contradicted. The last two terms are SOP+; both are off by default.

Same as the reference:
- u and v start normal with standard deviation 1e-8; SGD without momentum or decay, rates constant; gradients of the mean over the batch;
- V is constant in the first term, so v learns from the squared error alone; the network from all terms but that one;
- both views pass the network in one batch, so that batch normalisation sees them together.
Different from the reference:
- the second view is augmented as the first; the reference uses AutoAugment for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.data.batches import Batch
from bsd_core.errors import require
from bsd_core.methods.base import Method, MethodConfig, Model, Step, Training
from bsd_core.seeds import torch_stream

_LEAST_PROB: Final = 1e-4
_START: Final = 1e-8  # standard deviation of u and v


def sop_loss(
    logits: Tensor,
    targets: Tensor,
    u: Tensor,
    v: Tensor,
    *,
    balance_weight: float = 0.0,
    consistency_weight: float = 0.0,
    second_logits: Tensor | None = None,
) -> dict[str, Tensor]:
    """The objective, as in the module's formula.

    Args:
        logits: (B, K).
        targets: (B,) int64, given labels.
        u: (B, 1), noise at the label, receives a gradient.
        v: (B, K), noise elsewhere, receives a gradient.
        balance_weight: >= 0; pulls the mean prediction of the batch towards uniform.
        consistency_weight: >= 0; pulls the second view towards the first.
        second_logits: (B, K) of the second view, where the consistency weight is above 0.

    Returns:
        Scalars "cross_entropy" (of p~), "squared_error", those of "balance" and "consistency" whose weight is above 0, without the
        weight, and "total".

    Raises:
        ConfigError: a weight out of range.
    """
    require(balance_weight >= 0, "balance_weight >= 0", balance_weight=balance_weight)
    require(consistency_weight >= 0, "consistency_weight >= 0", consistency_weight=consistency_weight)
    log_probs = functional.log_softmax(logits, dim=1)
    probs = log_probs.exp()
    label = torch.zeros_like(probs).scatter_(1, targets[:, None], 1.0)
    predicted = torch.zeros_like(probs).scatter_(1, logits.detach().argmax(1, keepdim=True), 1.0)
    missing = u.square().clamp_max(1.0) * label
    surplus = v.square().clamp_max(1.0) * (1 - label)
    shifted = (probs + missing - surplus.detach()).clamp_min(_LEAST_PROB)
    shifted = (shifted / shifted.sum(dim=1, keepdim=True)).clamp_min(_LEAST_PROB)
    terms = {
        "cross_entropy": functional.nll_loss(shifted.log(), targets),
        "squared_error": (predicted + missing - surplus - label).square().sum() / len(targets),
    }
    total = terms["cross_entropy"] + terms["squared_error"]
    if balance_weight > 0:
        terms["balance"] = -shifted.mean(dim=0).log().mean()
        total = total + balance_weight * terms["balance"]
    if consistency_weight > 0:
        assert second_logits is not None, "Consistency is between two views"
        second_log_probs = functional.log_softmax(second_logits, dim=1)
        terms["consistency"] = functional.kl_div(second_log_probs, log_probs.detach(), reduction="batchmean", log_target=True)
        total = total + consistency_weight * terms["consistency"]
    return {**terms, "total": total}


@dataclass(frozen=True, kw_only=True)
class SOPConfig(MethodConfig):
    """Settings of SOP; the defaults are the reference's for CIFAR-100 with symmetric noise, without what makes it SOP+."""

    learning_rate_u: float = 1.0  # of u, the noise at the label; >= 0
    learning_rate_v: float = 10.0  # of v, the noise elsewhere; >= 0
    balance_weight: float = 0.0  # of the mean prediction's balance; >= 0, and 0.1 in SOP+
    consistency_weight: float = 0.0  # of the second view; >= 0, and 0.9 in SOP+. Above 0 a step shows every image twice

    def __post_init__(self) -> None:
        require(0 <= self.learning_rate_u < math.inf, "0 <= learning_rate_u < inf", learning_rate_u=self.learning_rate_u)
        require(0 <= self.learning_rate_v < math.inf, "0 <= learning_rate_v < inf", learning_rate_v=self.learning_rate_v)
        require(0 <= self.balance_weight < math.inf, "0 <= balance_weight < inf", balance_weight=self.balance_weight)
        require(0 <= self.consistency_weight < math.inf, "0 <= consistency_weight < inf", consistency_weight=self.consistency_weight)

    @property
    def needs(self) -> frozenset[str]:
        """A second view where it is to be consistent with the first."""
        return frozenset({"second_view"} if self.consistency_weight > 0 else {})

    @property
    def images_per_sample(self) -> float:
        """The second view counts."""
        return 2.0 if self.consistency_weight > 0 else 1.0


class SparseOverparameterization(Method):
    """Learns, next to the network, by how much each label is wrong."""

    Config = SOPConfig
    config: SOPConfig

    u: Tensor  # (N, 1) float32
    v: Tensor  # (N, K) float32

    def __init__(self, config: SOPConfig, training: Training) -> None:
        super().__init__(config, training)
        n, device = len(training.targets), training.targets.device
        generator = torch_stream(training.seed, "sop", device=device)
        self.register_buffer("u", _START * torch.randn((n, 1), device=device, generator=generator))
        self.register_buffer("v", _START * torch.randn((n, training.n_classes), device=device, generator=generator))
        self._in_step: tuple[Tensor, Tensor, Tensor] | None = None  # indices, and their rows of u and v, between loss and update

    def step(self, model: Model, batch: Batch) -> Step:
        """One forward pass, over both views where there are two."""
        second_logits = None
        if self.config.consistency_weight > 0:
            assert batch.second_images is not None, "Batches give second views to methods that need them"
            logits, second_logits = model(torch.cat([batch.images, batch.second_images])).chunk(2)
        else:
            logits = model(batch.images)
        u, v = self.u[batch.indices].requires_grad_(), self.v[batch.indices].requires_grad_()
        self._in_step = batch.indices, u, v
        terms = sop_loss(
            logits,
            batch.targets,
            u,
            v,
            balance_weight=self.config.balance_weight,
            consistency_weight=self.config.consistency_weight,
            second_logits=second_logits,
        )
        return Step(logits, terms, len(batch.images) if second_logits is None else 2 * len(batch.images))

    @torch.no_grad()
    def after_backward(self) -> None:
        """A step of plain SGD on the rows of the batch; all others have no gradient."""
        assert self._in_step is not None, "step() comes before after_backward()"
        indices, u, v = self._in_step
        assert u.grad is not None
        assert v.grad is not None
        self.u[indices] = torch.sub(u, u.grad, alpha=self.config.learning_rate_u)
        self.v[indices] = torch.sub(v, v.grad, alpha=self.config.learning_rate_v)
        self._in_step = None
