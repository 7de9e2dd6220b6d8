"""Confidence of predictions and equal-width bins.

Bins are (low, high] with the edges of `numpy.linspace(0, 1, B + 1)`; the first also holds 0.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def check_bins(n_bins: int) -> None:
    """Raise ValueError where `n_bins` < 1."""
    if n_bins < 1:
        raise ValueError(f"`n_bins >= 1` must hold, but got n_bins={n_bins}.")


def bin_of(values: Tensor, n_bins: int) -> Tensor:
    """Number in [0, B) of the bin of each value in [0, 1]; a value just above 1 by rounding belongs to the last."""
    inner = torch.from_numpy(np.linspace(0.0, 1.0, n_bins + 1)[1:-1]).to(values.device)
    return torch.bucketize(values.contiguous(), inner)  # it warns of other layouts


def confidence_and_hits(probs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) largest probability of each row of (N, K), and (N,) 1.0 where its class (the first, on a tie) is the label, else 0.0."""
    confidence, predicted = probs.max(1)
    return confidence, (predicted == targets).double()
