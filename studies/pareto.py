"""Fronts of accuracy (up) against ECE (down): pure functions, moocore does the mathematics."""

from __future__ import annotations

from typing import Any

import moocore
import numpy as np
import numpy.typing as npt


def costs(accuracy: Any, ece: Any) -> npt.NDArray[np.float64]:
    """(N, 2): minus accuracy and ECE, both to be minimised: the one place where a direction is turned.

    Raises:
        ValueError: shapes differ.
    """
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
    points = costs(accuracy, ece)
    finite = np.isfinite(points).all(axis=1)
    front = np.zeros(len(points), dtype=bool)
    if finite.any():
        front[finite] = moocore.is_nondominated(points[finite], keep_weakly=True)
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
    points = costs(accuracy, ece)
    corner = np.array([-reference[0], reference[1]])
    inside = points[np.isfinite(points).all(axis=1) & (points < corner).all(axis=1)]
    return float(moocore.hypervolume(inside, ref=corner)) if len(inside) else 0.0


def crowding_distance(front: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How far the neighbours of each point are apart on its front, summed over objectives, each as a share of the front's width.

    Args:
        front: (N, M) finite points of which none dominates another, all objectives down: `costs(accuracy, ece)` of a front, say.

    Returns:
        (N,) infinity for the ends of every objective. An objective in which all are equal adds nothing.

    Raises:
        ValueError: a value is not finite.

    References:
        Deb et al., IEEE Transactions on Evolutionary Computation 2002 (NSGA-II).
    """
    if not np.isfinite(front).all():
        raise ValueError("A crowding distance is of finite points, but got NaN or infinity. Pass members of a front only.")
    distance = np.zeros(len(front))
    for values in front.T if len(front) else ():
        order = np.argsort(values, kind="stable")
        ordered = values[order]
        if (width := ordered[-1] - ordered[0]) > 0:
            distance[order[1:-1]] += (ordered[2:] - ordered[:-2]) / width
        distance[order[[0, -1]]] = np.inf
    return distance
