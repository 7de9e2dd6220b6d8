"""Arrays of what callers have at hand: NumPy arrays, tensors on any device, lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bsd_core.data.images import Int64
from bsd_core.errors import DataError

Numbers = npt.NDArray[Any] | torch.Tensor | Sequence[Any]


def as_array(values: Numbers, what: str) -> npt.NDArray[Any]:
    """`values` as an array, without a copy where that is possible; bfloat16, which NumPy has not, becomes float32.

    Args:
        values: an array, a tensor on any device, or a list.
        what: their name in the plural, for the error.

    Raises:
        DataError: rows of unequal length, or a tensor that no array can hold.
    """
    try:
        if not isinstance(values, torch.Tensor):
            return np.asarray(values)
        there = values.detach().cpu()
        array: npt.NDArray[Any] = (there.float() if there.dtype == torch.bfloat16 else there).numpy()
        return array
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"Expected {what} as an array, a tensor or a list of numbers, but got a {_described(values)}.") from error


def as_indices(values: Numbers, end: int, what: str) -> Int64:
    """A copy as (N,) int64.

    Args:
        values: (N,) integers in [0, end) of any integer type: an array, a tensor on any device, or a list.
        end: one more than the largest that is allowed.
        what: their name in the plural, for the error.

    Raises:
        DataError: another shape, other than integers, or one outside [0, end).
    """
    array = as_array(values, what)
    if not array.size and not hasattr(values, "dtype"):
        array = array.astype(np.int64)  # an empty list is of no type
    if array.ndim != 1 or array.dtype.kind not in "iu":
        dtype = str(getattr(values, "dtype", array.dtype)).removeprefix("torch.")
        raise DataError(f"Expected integer {what} of shape (N,), but got {dtype} {array.shape}.")
    # Before the cast, which would turn large unsigned numbers into small or negative ones.
    if len(array) and not 0 <= array.min() <= array.max() < end:
        raise DataError(f"{what.capitalize()} must lie in [0, {end}), but run from {array.min()} to {array.max()}.")
    return array.astype(np.int64)


def _described(values: object) -> str:
    kind = type(values).__name__
    return f"{kind} of {values.layout} {values.dtype}" if isinstance(values, torch.Tensor) else f"{kind} with rows of unequal length"
