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
    probs, targets = _check_pair(probs, targets, "probs")
    # 2e-2: room for rows that were normalised and rounded in bfloat16. Two passes over the values; NaN and infinity fail them too.
    if not (bool(probs.amin() >= 0) and bool(((probs.sum(1) - 1).abs() <= 2e-2).all())):
        _check_finite(probs, "probs")
        raise ValueError("Each row of `probs` must be a distribution (values >= 0 that sum to 1). Pass softmax outputs, not logits.")
    return probs, targets


def check_logits(logits: Any, targets: Any) -> tuple[Tensor, Tensor]:
    """`logits` as (N, K) float64 and `targets` as (N,) int64; the errors of `check_probs` that apply."""
    logits, targets = _check_pair(logits, targets, "logits")
    _check_finite(logits, "logits")
    return logits, targets


def check_features(features: Any, labels: Any) -> tuple[Tensor, Tensor]:
    """`features` as (N, D) float64 and `labels` as (N,) int64 on its device.

    Raises:
        ValueError: wrong rank, length mismatch, N = 0, D = 0, NaN or infinity, or a negative label.
    """
    features = torch.as_tensor(features, dtype=torch.float64).detach()
    labels = torch.as_tensor(labels).to(features.device)
    if features.ndim != 2 or labels.ndim != 1 or len(features) != len(labels) or not features.shape[1]:
        raise ValueError(
            f"Expected features of shape (N, D) and labels of shape (N,), but got {tuple(features.shape)} and {tuple(labels.shape)}."
        )
    _check_filled(features)
    _check_finite(features, "features")
    return features, _as_labels(labels, "labels")


def check_labels(**arrays: Any) -> tuple[Tensor, ...]:
    """The named label arrays as (N,) int64 on the device of the first.

    Raises:
        ValueError: wrong rank, lengths that differ, N = 0, not integers, or a negative label.
    """
    tensors = [torch.as_tensor(array) for array in arrays.values()]
    if any(tensor.ndim != 1 or len(tensor) != len(tensors[0]) for tensor in tensors):
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in zip(arrays, tensors, strict=True))
        raise ValueError(f"Expected label arrays of one shape (N,), but got {shapes}.")
    _check_filled(tensors[0])
    return tuple(_as_labels(tensor.to(tensors[0].device), name) for name, tensor in zip(arrays, tensors, strict=True))


def check_values(values: Any, name: str, axes: str) -> Tensor:
    """`values` as a finite, contiguous float64 tensor with one axis for each letter of `axes`.

    Raises:
        ValueError: wrong rank, an axis of length 0, NaN or infinity.
    """
    checked: Tensor = torch.as_tensor(values, dtype=torch.float64).detach().contiguous()
    if checked.ndim != len(axes):
        shape = ", ".join(axes) if len(axes) > 1 else f"{axes},"
        raise ValueError(f"Expected {name} of shape ({shape}), but got {tuple(checked.shape)}.")
    _check_filled(checked)
    _check_finite(checked, name)
    return checked


def _check_filled(values: Tensor) -> None:
    if not values.numel():
        raise ValueError("A metric of no samples is undefined: got N = 0.")


def _check_finite(values: Tensor, name: str) -> None:
    if not bool(torch.isfinite(values).all()):
        raise ValueError(f"`{name}` holds NaN or infinity.")


def _as_labels(labels: Tensor, name: str) -> Tensor:
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(f"Expected integer {name}, but got {labels.dtype}.")
    if bool((labels < 0).any()):
        raise ValueError(f"`{name} >= 0` must hold, but the smallest is {int(labels.min())}.")
    return labels.to(torch.int64)


def _check_pair(values: Any, targets: Any, name: str) -> tuple[Tensor, Tensor]:
    values = torch.as_tensor(values, dtype=torch.float64).detach()
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
