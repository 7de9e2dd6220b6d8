"""Accuracy, proper scores and the risk-coverage curve. N images, K classes; results are float64 scalars on the input's device."""

from __future__ import annotations

import torch
from torch import Tensor

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


def top_k_accuracy(probs: Tensor, targets: Tensor, *, k: int = 5) -> Tensor:
    """Share of images whose label is among the k most probable classes (the first ones, on a tie), in [0, 1].

    Args:
        probs: (N, K), rows sum to 1.
        targets: (N,) int64.
        k: 1 <= k <= K; k = 1 is `accuracy`.

    Raises:
        ValueError: `k` out of range, or see `check_probs`.
    """
    probs, targets = check_probs(probs, targets)
    if not 1 <= k <= probs.shape[1]:
        raise ValueError(f"`1 <= k <= K` must hold, but got k={k} for K={probs.shape[1]} classes.")
    given = probs.gather(1, targets[:, None])
    first = torch.arange(probs.shape[1], device=probs.device) < targets[:, None]  # (N, K), classes that win a tie with the label
    ahead = (probs > given).sum(1) + ((probs == given) & first).sum(1)
    return (ahead < k).double().mean()


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
    residuals = probs.scatter_add(1, targets[:, None], probs.new_full((len(probs), 1), -1.0))
    return residuals.square_().sum(1).mean()


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
    _, errors = _errors_by_confidence(*check_probs(probs, targets))
    return _mean_risk(errors)


def expected_area_under_risk_coverage(probs: Tensor, targets: Tensor) -> Tensor:
    """`area_under_risk_coverage` in expectation over a random order of the images of equal confidence, in [0, 1].

    The first j of m tied images with e errors hold j e / m errors on average, so each counts as e / m of an error. Arguments and errors
    as in `area_under_risk_coverage`, which it equals where no confidence occurs twice.
    """
    confidence, errors = _errors_by_confidence(*check_probs(probs, targets))
    _, group, size = torch.unique_consecutive(confidence, return_inverse=True, return_counts=True)
    return _mean_risk((torch.bincount(group, weights=errors) / size)[group])


def excess_area_under_risk_coverage(probs: Tensor, targets: Tensor) -> Tensor:
    """`area_under_risk_coverage` above the least value that its number of errors allows, in [0, 1].

    E-AURC = AURC - (1 / N) sum_{j=1..E} j / (N - E + j) with E errors: the least is reached where all errors come last. So 0 says that
    confidence ranks perfectly, however many errors there are. Arguments and errors as in `area_under_risk_coverage`.

    References:
        Geifman et al., ICLR 2019; the exact sum, not their closed form for large N.
    """
    _, errors = _errors_by_confidence(*check_probs(probs, targets))
    return _mean_risk(errors) - _mean_risk(errors.sort().values)


def _errors_by_confidence(probs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) confidence, falling, and (N,) 1 where the prediction is wrong, in the same order."""
    confidence, predicted = probs.max(1)
    confidence, order = torch.sort(confidence, descending=True, stable=True)
    return confidence, (predicted != targets).double()[order]


def _mean_risk(errors: Tensor) -> Tensor:
    kept = torch.arange(1, len(errors) + 1, dtype=torch.float64, device=errors.device)
    return (errors.cumsum(0) / kept).mean()
