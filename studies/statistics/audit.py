"""What early stopping cost: the stopped trials that ran to their end all the same, against those that were meant to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class AuditSummary:
    """The stopped trials of one arm.

    Attributes:
        n_stopped: trials of the search that fell behind, the audited ones among them.
        n_audited: of these, how many ran to their end.
        n_would_have_reached_front: of these, how many no complete trial of the arm beats in the study's objectives; one that diverged
            after the decision is beaten by all.
    """

    n_stopped: int
    n_audited: int
    n_would_have_reached_front: int


def audit_summary(rows: Iterable[Row]) -> dict[str, AuditSummary]:
    """What the audited trials say about the stopping, by arm in order of appearance.

    An audited trial is judged as the front is: by the two validation columns that the search looked at. Between two audited trials nothing
    is compared, so of two that only the other one beats, both count.

    Args:
        rows: of table trials; those of the confirm phase are passed over.
    """
    arms: dict[str, list[Row]] = {}
    for row in rows:
        if row["phase"] == "search":
            arms.setdefault(row["arm"], []).append(row)
    return {arm: _summarise(members) for arm, members in arms.items()}


def _summarise(members: list[Row]) -> AuditSummary:
    stopped = [row for row in members if row["state"] == "stopped"]
    audited = [row for row in stopped if row["audited"]]
    complete = [_objectives(row) for row in members if row["state"] == "complete"]
    reached = [point for row in audited if None not in (point := _objectives(row)) and not any(_beats(other, point) for other in complete)]
    return AuditSummary(len(stopped), len(audited), len(reached))


def _objectives(row: Row) -> tuple[Any, Any]:
    """(accuracy, up; calibration error, down), as the row's study chose them."""
    accuracy, ece = row["objectives"].split(", ")
    return row[accuracy], row[ece]


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] >= other[0] and one[1] <= other[1]
