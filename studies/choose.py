"""Which finished trials of an arm are worth training again: chosen by validation values alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np

from bsd_core.errors import require, unknown_name
from studies.pareto import costs, crowding_distance, non_dominated

Points = Literal["front", "knee", "best_accuracy", "best_ece"]
POINTS: Final[tuple[Points, ...]] = get_args(Points)

_DIGITS = 12  # of shares of a front's range: two that differ less are a tie, whatever order their sums were rounded in


@dataclass(frozen=True)
class Chosen:
    """One point that was chosen.

    Attributes:
        index: into the arrays it was chosen from.
        roles: what it is on the front: those of `best_accuracy`, `knee` and `best_ece` that hold, else `front`.
    """

    index: int
    roles: tuple[str, ...]


def knee(accuracy: Any, ece: Any) -> int:
    """The member of a front where giving up more of one objective starts to buy little of the other.

    Both objectives are scaled to the front's range; the knee lies farthest from the chord between the two ends of the front, on the side
    of the ideal. Where no member lies on that side, as on a straight front or with fewer than three members, and where several are
    equally far, it is the most accurate of them; of equal points the first.

    Args:
        accuracy: (N,) of the members of one front, up.
        ece: (N,) down.

    Returns:
        Index of the knee.

    Raises:
        ValueError: no member, shapes that differ, or a value that is not finite.

    References:
        Das, Structural Optimization 1999 (the point farthest from the line through the ends).
    """
    accuracy, ece = np.asarray(accuracy, dtype=np.float64), np.asarray(ece, dtype=np.float64)
    if accuracy.ndim != 1 or accuracy.shape != ece.shape or not accuracy.size:
        raise ValueError(f"Expected accuracy and ece of a front with one length of at least 1, but got {accuracy.shape} and {ece.shape}.")
    if not (np.isfinite(accuracy).all() and np.isfinite(ece).all()):
        raise ValueError("The knee is of finite points, but got NaN or infinity. Pass members of a front only.")
    # In the scaled plane the chord is the diagonal, so the signed distance from it is accuracy - ECE, but for a constant factor.
    distance = np.round(_scaled(accuracy) - _scaled(ece), _DIGITS)
    return int(np.lexsort((ece, -accuracy, -distance))[0])


def _scaled(values: Any) -> Any:
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def choose_points(accuracy: Any, ece: Any, *, points: str, at_most: int) -> list[Chosen]:
    """The points of an arm that are trained again, in the order of their importance.

    Only non-dominated finite points count, and one of several equal ones (the first). `best_accuracy` is the most accurate, `best_ece`
    the one with the lowest ECE, `knee` as in `knee`. Roles are given whatever `points` asks for: a front of one point is all three.

    Args:
        accuracy: (N,) up; NaN where a trial has none.
        ece: (N,) down.
        points: `best_accuracy`, `best_ece` or `knee` for that one; `front` for these three in this order, then the other members of the
            front, the least crowded first (equally crowded ones by index). The two ends come first, since every front has them: then
            methods can be compared by both.
        at_most: different points, at least 1.

    Returns:
        Between 1 and `at_most` points; none where no point is finite.

    Raises:
        ConfigError: unknown `points`, or `at_most` out of range.
        ValueError: shapes differ.
    """
    if points not in POINTS:
        raise unknown_name("choice of points", points, POINTS)
    require(at_most >= 1, "at_most >= 1", at_most=at_most)
    accuracy, ece = np.asarray(accuracy, dtype=np.float64), np.asarray(ece, dtype=np.float64)
    members = np.flatnonzero(non_dominated(accuracy, ece))
    if not members.size:
        return []
    members = members[np.sort(np.unique(accuracy[members], return_index=True)[1])]  # equal on a front in one objective: equal in both
    accuracy, ece = accuracy[members], ece[members]
    roles = {"best_accuracy": int(accuracy.argmax()), "best_ece": int(ece.argmin()), "knee": knee(accuracy, ece)}
    crowding = np.round(crowding_distance(costs(accuracy, ece)), _DIGITS)
    order = [*roles.values(), *np.argsort(-crowding, kind="stable").tolist()] if points == "front" else [roles[points]]
    return [
        Chosen(int(members[place]), tuple(role for role, holder in roles.items() if holder == place) or ("front",))
        for place in list(dict.fromkeys(order))[:at_most]
    ]
