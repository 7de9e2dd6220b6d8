"""Fronts of accuracy (up) against ECE (down): pure functions, moocore does the mathematics."""

from __future__ import annotations

from typing import Any

import moocore
import numpy as np
import numpy.typing as npt


def _costs(accuracy: Any, ece: Any) -> npt.NDArray[np.float64]:
    """(N, 2): minus accuracy and ECE, both to be minimised: the one place where a direction is turned."""
    accuracy = np.asarray(accuracy, dtype=np.float64)
    ece = np.asarray(ece, dtype=np.float64)
    if accuracy.ndim != 1 or accuracy.shape != ece.shape:
        raise ValueError(f"Expected accuracy and ece of one length, but got shapes {accuracy.shape} and {ece.shape}.")
    return np.column_stack([-accuracy, ece])


def non_dominated(accuracy: Any, ece: Any) -> npt.NDArray[np.bool_]:
    """Which points no other point beats: at least as good in both objectives and better in one.

    Equal points are all kept. A point with NaN or infinity (a failed trial) is never on the front and beats nothing.

    Args:
        accuracy: (N,) up.
        ece: (N,) down.

    Returns:
        (N,) bool.

    Raises:
        ValueError: shapes differ.
    """
    costs = _costs(accuracy, ece)
    finite = np.isfinite(costs).all(axis=1)
    front = np.zeros(len(costs), dtype=bool)
    if finite.any():
        front[finite] = moocore.is_nondominated(costs[finite], keep_weakly=True)
    return front


def hypervolume(accuracy: Any, ece: Any, *, reference: tuple[float, float] = (0.0, 1.0)) -> float:
    """Area that the points dominate, as seen from `reference`; larger is better.

    Args:
        accuracy: (N,) up.
        ece: (N,) down.
        reference: (accuracy, ece) of the worst corner; points not better than it in both add nothing.

    Returns:
        In the unit of accuracy times ECE; at most 1 with the default reference. 0 without points.

    Raises:
        ValueError: shapes differ.
    """
    costs = _costs(accuracy, ece)
    corner = np.array([-reference[0], reference[1]])
    inside = costs[np.isfinite(costs).all(axis=1) & (costs < corner).all(axis=1)]
    return float(moocore.hypervolume(inside, ref=corner)) if len(inside) else 0.0
