"""Transition matrices: M[i, j] is the probability that an image of class i is labelled j."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bsd_core.data.images import Int64
from bsd_core.data.label_noise.arrays import Numbers, as_array
from bsd_core.data.label_noise.stored import npy_array
from bsd_core.errors import DataError, one_line, shown

Float64 = npt.NDArray[np.float64]

_SUFFIXES: Final = (".csv", ".json", ".npy")
_TOLERANCE: Final = 1e-6  # of a row's sum: matrices are written with rounded digits


def load_transition_matrix(path: Path, n_classes: int) -> Float64:
    """A K x K matrix from a file, checked.

    Args:
        path: .csv (a row a line, numbers with commas between, no header), .json (a list of K lists) or .npy.
        n_classes: K.

    Returns:
        (K, K) float64; see `check_transition_matrix`.

    Raises:
        DataError: no such file, another ending, not numbers in K equal rows, or no transition matrix.
    """
    if not os.path.isfile(path):
        raise DataError(f"No such file: {shown(path, limit=300)}, from which a confusion matrix is to be read.")
    if path.suffix.lower() not in _SUFFIXES:
        raise DataError(f"A confusion matrix is read from {', '.join(_SUFFIXES)}, but got {shown(path, limit=300)}.")
    try:
        matrix = _read(path, n_classes)
    except DataError:
        raise
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise DataError(f"{path}: not a matrix of numbers ({one_line(error, limit=120)}).") from error
    try:
        return check_transition_matrix(matrix, n_classes)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _read(path: Path, n_classes: int) -> npt.NDArray[Any]:
    if path.suffix.lower() == ".npy":
        stored = npy_array(lambda: path.open("rb"))
        if stored.shape != (n_classes, n_classes):
            raise DataError(f"{path}: {_wrong_form(n_classes, stored.dtype, stored.shape)}")
        return stored.read()
    text = path.read_text(encoding="utf-8-sig")  # spreadsheets put a byte order mark in front
    rows = json.loads(text) if path.suffix.lower() == ".json" else [line.split(",") for line in text.splitlines() if line.strip()]
    return np.array(rows, dtype=np.float64)


def check_transition_matrix(matrix: Numbers, n_classes: int) -> Float64:
    """`matrix` as float64, if it is one: (K, K), no entry below 0, every row sums to 1 within 1e-6.

    Args:
        matrix: an array, a tensor on any device, or a list of K lists.
        n_classes: K.

    Raises:
        DataError: it is not; the row and its sum are named.
    """
    array = as_array(matrix, "the rows of a confusion matrix")
    if array.shape != (n_classes, n_classes) or array.dtype.kind not in "fiu":
        raise DataError(_wrong_form(n_classes, str(array.dtype), array.shape))
    checked = array.astype(np.float64)
    outside = ~(checked >= 0)  # NaN is outside too
    if outside.any():
        row, column = np.argwhere(outside)[0].tolist()
        raise DataError(
            f"Probabilities are at least 0, but row {row} of the confusion matrix has {checked[row, column]:g} for class {column}."
        )
    sums = checked.sum(1)
    wrong = np.flatnonzero(~(np.abs(sums - 1) <= _TOLERANCE))
    if len(wrong):
        raise DataError(
            f"Each row of a confusion matrix must sum to 1, but row {wrong[0]} sums to {sums[wrong[0]]:.7g} ({len(wrong)} of "
            f"{n_classes} rows are wrong). Divide each row by its sum."
        )
    return checked


def _wrong_form(n_classes: int, dtype: str, shape: tuple[int, ...]) -> str:
    return (
        f"Expected a confusion matrix of real numbers of shape ({n_classes}, {n_classes}), a row for each true class, "
        f"but got {dtype} {shape}."
    )


def draw_by_class(true: Int64, matrix: Float64, stream: np.random.Generator) -> Int64:
    """(N,) one draw a sample from its true class's row; how many differ from `true` is random.

    Args:
        true: (N,) int64 in [0, K).
        matrix: (K, K), as `check_transition_matrix` returns it.
        stream: gives one uniform number a sample.
    """
    uniform = stream.random(len(true))
    drawn = np.empty_like(true)
    for label, row in enumerate(matrix):
        of_class = np.flatnonzero(true == label)
        drawn[of_class] = inverse_cdf(row, uniform[of_class])
    return drawn


def inverse_cdf(probs: Float64, uniform: Float64) -> Int64:
    """(n,) the class in whose interval of the cumulated `probs` (K,) each of `uniform` (n,) in [0, 1) lies; never one of probability 0."""
    cumulated = probs.cumsum()
    return np.searchsorted(cumulated / cumulated[-1], uniform, side="right")
