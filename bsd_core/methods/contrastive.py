"""Contrastive regularisation by a network's own predictions: CTRR's loss term and the heads it is computed on.

Yi et al., CVPR 2022; reference code: liyi01827/noisy-contrastive (main.py, simsiam/model_factory.py).

    L_ctr = mean_i sum_j W_ij D_ij,   s_ij = <q_i, k_j>,   D_ii = 2 - s_ii,   D_ij = 2 + log(1 - s_ij)
    W_ij  = <p_i, p_j> where that is >= threshold, else 0;  W_ii = 1;  rows divided by their sums

q_i (queries) and k_j (keys) are embeddings of two strong views, normalised to length 1, then clamped coordinate by coordinate to
[1e-4, 1 - 1e-4]; p_i are the class probabilities of the weak views. Gradients flow through q alone.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from bsd_core.errors import require

_FLOOR: Final = 1e-4  # the reference's, against collapse and exploding gradients
_LARGEST_HIDDEN: Final = 2048  # the reference's projector at D = 512; wider features stop there


def pair_weights(probs: Tensor, *, threshold: float) -> Tensor:
    """(B, K) class probabilities -> (B, B) weights W, rows sum to 1; without gradient."""
    require(0 <= threshold <= 1, "0 <= threshold <= 1", threshold=threshold)
    probs = probs.detach()
    agreement = (probs @ probs.T).fill_diagonal_(1.0)
    weights = torch.where(agreement >= threshold, agreement, 0.0)
    return weights / weights.sum(1, keepdim=True)


def contrastive_loss(queries: Tensor, keys: Tensor, probs: Tensor, *, threshold: float) -> Tensor:
    """CTRR's term, as in the module's formula.

    Args:
        queries: (B, E) of one strong view, any length > 0.
        keys: (B, E) of the other one; no gradient reaches them.
        probs: (B, K) of the weak view, rows sum to 1; no gradient reaches them.
        threshold: tau in [0, 1], pairs whose predictions agree less are left out.

    Returns:
        Scalar, at most 2. Different from the reference: 1 - s_ij is kept at 1e-4 or more, as the logarithm has no value where it is 0.

    Raises:
        ConfigError: threshold out of range.
    """
    queries, keys = (functional.normalize(rows, dim=1).clamp(_FLOOR, 1 - _FLOOR) for rows in (queries, keys.detach()))
    similarity = queries @ keys.T  # (B, B)
    same = torch.eye(len(queries), dtype=torch.bool, device=queries.device)
    distance = 2 + torch.where(same, -similarity, (1 - similarity).clamp_min(_FLOOR).log())
    return (pair_weights(probs, threshold=threshold) * distance).sum(1).mean()


class _BatchNorm(nn.BatchNorm1d):
    """Batch normalisation that takes a batch of one, which has no spread, by its running statistics."""

    def forward(self, input: Tensor) -> Tensor:
        if len(input) > 1 or not self.training:
            return super().forward(input)
        return functional.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


def mlp_head(n_in: int, n_out: int, *, seed: int) -> nn.Sequential:
    """Linear, batch normalisation, ReLU, linear; the hidden layer is four times as wide as the input, at most 2048.

    That is the reference's projector (512 - 2048 - 128) and predictor (128 - 512 - 128), and smaller for smaller networks.

    Args:
        n_in: length of the input.
        n_out: length of the output.
        seed: initial weights depend on this alone; the global random state is left as it was.
    """
    n_hidden = min(4 * n_in, _LARGEST_HIDDEN)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # `torch.manual_seed` would reach for every GPU too
        return nn.Sequential(nn.Linear(n_in, n_hidden), _BatchNorm(n_hidden), nn.ReLU(inplace=True), nn.Linear(n_hidden, n_out))
