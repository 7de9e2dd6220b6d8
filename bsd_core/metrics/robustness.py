"""Errors on corrupted images and the steadiness of predictions on image sequences.

C corruptions, S severities, V sequences of F frames, K classes. Results are float64 on the first input's device.

References:
    Hendrycks & Dietterich, ICLR 2019. They divide by the errors of AlexNet; on small images name the network that is the base.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from bsd_core.metrics.inputs import check_values


def corruption_errors(errors: Tensor, base_errors: Tensor) -> Tensor:
    """(C,) corruption errors: sum_s E_cs / sum_s E^base_cs; 1 is as good as the base. Their mean is mCE.

    Args:
        errors: (C, S) error rates.
        base_errors: (C, S) error rates of the base network; each row has one above 0.

    Raises:
        ValueError: shapes that differ, an empty axis, NaN or infinity, or a base without errors.
    """
    errors, base_errors = _check_errors(errors, base_errors)
    return _ratio(errors.sum(1), base_errors.sum(1))


def relative_corruption_errors(errors: Tensor, base_errors: Tensor, *, clean_error: float, base_clean_error: float) -> Tensor:
    """(C,) relative corruption errors: sum_s (E_cs - E_clean) / sum_s (E^base_cs - E^base_clean). Their mean is relative mCE.

    Args:
        errors: (C, S) error rates.
        base_errors: (C, S) error rates of the base network, in sum above its clean ones.
        clean_error: error rate on clean images.
        base_clean_error: error rate of the base network on clean images.

    Raises:
        ValueError: shapes that differ, an empty axis, NaN or infinity, or a base that corruption does not harm.
    """
    errors, base_errors = _check_errors(errors, base_errors)
    clean, base_clean = check_values([clean_error, base_clean_error], "clean errors", "N").tolist()
    return _ratio((errors - clean).sum(1), (base_errors - base_clean).sum(1))


def mean_corruption_error(errors: Tensor, base_errors: Tensor | None = None) -> Tensor:
    """MCE: the mean of `corruption_errors`; without a base, the unnormalised one, the mean of all C x S error rates.

    Arguments and errors as in `corruption_errors`.
    """
    if base_errors is None:
        return check_values(errors, "errors", "CS").mean()
    return corruption_errors(errors, base_errors).mean()


def flip_probability(predictions: Tensor, *, noise: bool = False) -> Tensor:
    """How often the predicted class changes along a sequence, in [0, 1].

    Args:
        predictions: (V, F) integers, F >= 2.
        noise: compare each frame with the first, clean one, not with the frame before: for perturbations that are noise, whose frames
            have no order.

    Raises:
        ValueError: wrong rank, V = 0, F < 2, or not integers.
    """
    predictions = torch.as_tensor(predictions)
    if predictions.is_floating_point():
        raise ValueError(f"Expected integer predictions, but got {predictions.dtype}.")
    _check_frames(check_values(predictions, "predictions", "VF"))
    return (predictions[:, 1:] != _reference(predictions, noise)).double().mean()


def rank_distance(logits: Tensor, *, kind: Literal["top5", "zipf"], noise: bool = False) -> Tensor:
    """How much the order of the classes changes along a sequence: the mean distance of two rankings, at least 0.

    With sigma_i the new rank of the class that was at rank i:
    "top5": sum_{i <= 5} |C(i) - C(sigma_i)|, C(i) = min(i - 1, 5); only what enters, leaves or moves in the first five counts.
    "zipf": sum_i |1 / i - 1 / sigma_i| / i; every class counts, the first ones most.

    Args:
        logits: (V, F, K), F >= 2; of equal logits the first class ranks first.
        kind: which distance.
        noise: as in `flip_probability`.

    Raises:
        ValueError: unknown `kind`, wrong rank, an empty axis, F < 2, NaN or infinity.
    """
    logits = check_values(logits, "logits", "VFK")
    _check_frames(logits)
    order = logits.sort(dim=2, descending=True, stable=True).indices
    ranks = (order.argsort(dim=2) + 1).double()  # (V, F, K), rank of each class
    sigma = ranks[:, 1:].gather(2, _reference(order, noise).expand_as(ranks[:, 1:]))
    places = torch.arange(1, logits.shape[2] + 1, device=logits.device, dtype=torch.float64)
    if kind == "top5":
        distance = ((places - 1).clamp_max(5) - (sigma - 1).clamp_max(5)).abs()[..., :5]
    elif kind == "zipf":
        distance = (1 / places - 1 / sigma).abs() / places
    else:
        raise ValueError(f"`kind` must be 'top5' or 'zipf', but got {kind!r}.")
    return distance.sum(2).mean()


def _reference(frames: Tensor, noise: bool) -> Tensor:
    """What frames 1, 2, ... of each sequence are compared with: the first frame, or the one before."""
    return frames[:, :1] if noise else frames[:, :-1]


def _check_frames(frames: Tensor) -> None:
    if frames.shape[1] < 2:
        raise ValueError("`F >= 2` must hold for a sequence to change, but got F = 1 frame.")


def _check_errors(errors: Tensor, base_errors: Tensor) -> tuple[Tensor, Tensor]:
    errors = check_values(errors, "errors", "CS")
    base_errors = check_values(base_errors, "base_errors", "CS").to(errors.device)
    if errors.shape != base_errors.shape:
        raise ValueError(f"`errors` and `base_errors` must have one shape (C, S), but got {(*errors.shape,)} and {(*base_errors.shape,)}.")
    return errors, base_errors


def _ratio(errors: Tensor, base: Tensor) -> Tensor:
    if bool((base <= 0).any()):
        raise ValueError("The errors of the base network must sum to more than 0 for every corruption (relative: above its clean error).")
    return errors / base
