"""Accuracy, proper scores and the risk-coverage curve. N images, K classes; results are float64 scalars on the input's device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.metrics.inputs import check_probs


def accuracy(probs: Tensor, targets: Tensor) -> Tensor:
    """Share of images whose most probable class (the first, on a tie) is the label, in [0, 1].

    Args:
        probs: (N, K), rows sum to 1.
        targets: (N,) int64.

    Raises:
        ValueError: see `check_probs`.
    """
    probs, targets = check_probs(probs, targets)
    return (probs.argmax(1) == targets).double().mean()


def negative_log_likelihood(probs: Tensor, targets: Tensor) -> Tensor:
    """Mean of -log p_y, in nats.

    A probability of exactly 0 counts as the smallest normal float64 (708.4 nats), so that one underflow does not hide all else.

    Args:
        probs: (N, K), rows sum to 1.
        targets: (N,) int64.

    Raises:
        ValueError: see `check_probs`.
    """
    probs, targets = check_probs(probs, targets)
    given = probs.gather(1, targets[:, None])[:, 0]
    return -given.clamp_min(torch.finfo(torch.float64).tiny).log().mean()


def brier_score(probs: Tensor, targets: Tensor) -> Tensor:
    """Mean over images of sum_k (p_k - 1[k = y])^2, in [0, 2] (scikit-learn's `scale_by_half=False`).

    Args:
        probs: (N, K), rows sum to 1.
        targets: (N,) int64.

    Raises:
        ValueError: see `check_probs`.

    References:
        Brier, Monthly Weather Review 1950.
    """
    probs, targets = check_probs(probs, targets)
    return (probs - functional.one_hot(targets, probs.shape[1])).square().sum(1).mean()


def area_under_risk_coverage(probs: Tensor, targets: Tensor) -> Tensor:
    """Mean over k = 1..N of the error rate among the k most confident images, in [0, 1].

    Images of equal confidence keep their order, so with ties the value depends on it. PS-KD reports 1000 times this.

    Args:
        probs: (N, K), rows sum to 1.
        targets: (N,) int64.

    Raises:
        ValueError: see `check_probs`.

    References:
        Geifman et al., ICLR 2019.
    """
    probs, targets = check_probs(probs, targets)
    confidence, predicted = probs.max(1)
    errors = (predicted != targets).double()[torch.sort(confidence, descending=True, stable=True).indices]
    kept = torch.arange(1, len(errors) + 1, dtype=torch.float64, device=errors.device)
    return (errors.cumsum(0) / kept).mean()
