"""What every metric takes: checked once, in one place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def check_probs(probs: Any, targets: Any) -> tuple[Tensor, Tensor]:
    """`probs` as (N, K) float64 and `targets` as (N,) int64 on its device.

    Raises:
        ValueError: wrong rank, length mismatch, N = 0, NaN, rows that do not sum to 1, a value outside [0, 1], or a label outside
            [0, K).
    """
    probs, targets = _check_shapes(probs, targets, "probs")
    if not bool(torch.isfinite(probs).all()):
        raise ValueError("`probs` holds NaN or infinity.")
    # 2e-2: room for rows that were normalised and rounded in bfloat16.
    if bool((probs < 0).any()) or bool(((probs.sum(1) - 1).abs() > 2e-2).any()):
        raise ValueError("Each row of `probs` must be a distribution (values >= 0 that sum to 1). Pass softmax outputs, not logits.")
    return probs, targets


def check_logits(logits: Any, targets: Any) -> tuple[Tensor, Tensor]:
    """`logits` as (N, K) float64 and `targets` as (N,) int64; the errors of `check_probs` that apply."""
    logits, targets = _check_shapes(logits, targets, "logits")
    if not bool(torch.isfinite(logits).all()):
        raise ValueError("`logits` holds NaN or infinity.")
    return logits, targets


def _check_shapes(values: Any, targets: Any, name: str) -> tuple[Tensor, Tensor]:
    values = torch.as_tensor(values).detach().to(torch.float64)
    targets = torch.as_tensor(targets).to(values.device)
    if values.ndim != 2 or targets.ndim != 1 or len(values) != len(targets):
        raise ValueError(
            f"Expected {name} of shape (N, K) and targets of shape (N,), but got {tuple(values.shape)} and {tuple(targets.shape)}."
        )
    if not len(values):
        raise ValueError("A metric of no samples is undefined: got N = 0.")
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise ValueError(f"Expected integer targets, but got {targets.dtype}.")
    if bool((targets < 0).any()) or bool((targets >= values.shape[1]).any()):
        raise ValueError(f"Targets must lie in [0, {values.shape[1]}), but run from {int(targets.min())} to {int(targets.max())}.")
    return values, targets.to(torch.int64)
