"""Which finished trials a study recommends: chosen by validation values, over all methods of a condition.

knee                           of the front of all methods of the condition
accurate_and_calibrated        the most accurate with an ECE under a bound
no_worse_than_cross_entropy    of the method that in every condition is at least as good as plain training in both objectives

They are decided over all finished trials of the compared arms, and with `confirm.operating_points` they are then confirmed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

import numpy as np

from studies.choose import knee
from studies.objectives import short_titles
from studies.pareto import non_dominated

Row = Mapping[str, Any]  # of table trials

OPERATING_POINTS: Final = ("knee", "accurate_and_calibrated", "no_worse_than_cross_entropy")
OPERATING_ROLES: Final = ("condition_knee", *OPERATING_POINTS[1:])  # in `chosen_as`, where `knee` alone is that of an arm


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """A recommended trial, or why there is none.

    Attributes:
        name: one of `OPERATING_POINTS`.
        condition: it is for; None where the point is about all conditions and there is none.
        method: of the trial; None without one.
        trial_id: of the search trial; None without one.
        reason: why this trial, or why none; fractions in it are validation values.
    """

    name: str
    condition: str | None
    method: str | None
    trial_id: str | None
    reason: str

    @property
    def role(self) -> str:
        """One of `OPERATING_ROLES`."""
        return OPERATING_ROLES[OPERATING_POINTS.index(self.name)]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A finished trial of the search.

    Attributes:
        condition, method, trial_id: as in table `trials`.
        accuracy, ece: the study's objectives, on validation images; finite.
    """

    condition: str
    method: str
    trial_id: str
    accuracy: float
    ece: float

    @property
    def order(self) -> tuple[float, float]:
        """Smallest for the most accurate, of those for the best calibrated."""
        return -self.accuracy, self.ece

    def no_worse_than(self, other: Candidate) -> bool:
        """In both objectives."""
        return self.accuracy >= other.accuracy and self.ece <= other.ece

    def told(self, titles: Sequence[str]) -> str:
        """Its name and values, which have these titles."""
        values = zip(titles, (self.accuracy, self.ece), strict=True)
        return f"{self.trial_id} ({', '.join(f'{title} {100 * value:.1f} %' for title, value in values)})"


def operating_points(
    search_rows: Iterable[Row], *, objectives: tuple[str, str], max_ece: float, reference: str = "cross_entropy"
) -> list[OperatingPoint]:
    """The operating points of a study, by condition as the rows have them, then `no_worse_than_cross_entropy`.

    All complete trials of phase search count, confirmed or not, but for those of random search.

    Args:
        search_rows: of table trials.
        objectives: an accuracy, up, and an ECE, down, of validation images.
        max_ece, reference: as in `recommend`.
    """
    rows = [row for row in search_rows if row["phase"] == "search" and row["sampler"] != "random"]
    complete = [row for row in rows if row["state"] == "complete"]
    candidates = [found for row in complete if (found := _candidate(row, objectives)) is not None]
    conditions = list(dict.fromkeys(row["condition"] for row in rows))
    titles = short_titles(objectives)
    return recommend(candidates, conditions=conditions, max_ece=max_ece, reference=reference, titles=titles)


def recommend(
    candidates: Iterable[Candidate],
    *,
    conditions: Sequence[str],
    max_ece: float,
    reference: str = "cross_entropy",
    titles: Sequence[str] = ("accuracy", "ECE"),
) -> list[OperatingPoint]:
    """The operating points among these trials, by condition, then `no_worse_than_cross_entropy`.

    Of equally good trials it is the first by name, so that the order they come in makes no difference.

    Args:
        candidates: of all methods.
        conditions: of the study, also those without a candidate.
        max_ece: the largest ECE of `accurate_and_calibrated`.
        reference: the method that `no_worse_than_cross_entropy` compares with: its most accurate trial of each condition.
        titles: of the objectives, for reasons.
    """
    by_condition: dict[str, list[Candidate]] = {condition: [] for condition in conditions}
    for found in sorted(candidates, key=lambda found: found.trial_id):
        by_condition[found.condition].append(found)
    points: list[OperatingPoint] = []
    for condition, members in by_condition.items():
        points += [_knee(condition, members), _accurate_and_calibrated(condition, members, max_ece, titles)]
    return points + _no_worse_than(by_condition, reference, titles)


def _candidate(row: Row, objectives: tuple[str, str]) -> Candidate | None:
    accuracy, ece = (row[name] for name in objectives)
    if accuracy is None or ece is None or not (math.isfinite(accuracy) and math.isfinite(ece)):
        return None
    return Candidate(condition=row["condition"], method=row["method"], trial_id=row["trial_id"], accuracy=accuracy, ece=ece)


def _point(name: str, found: Candidate, reason: str) -> OperatingPoint:
    return OperatingPoint(name=name, condition=found.condition, method=found.method, trial_id=found.trial_id, reason=reason)


def _none(name: str, condition: str | None, reason: str) -> OperatingPoint:
    return OperatingPoint(name=name, condition=condition, method=None, trial_id=None, reason=reason)


def _knee(condition: str, members: Sequence[Candidate]) -> OperatingPoint:
    if not members:
        return _none("knee", condition, "no finished trial")
    accuracy, ece = (np.array([getattr(found, name) for found in members]) for name in ("accuracy", "ece"))
    front = np.flatnonzero(non_dominated(accuracy, ece))
    found = members[front[knee(accuracy[front], ece[front])]]
    return _point("knee", found, f"the knee of the front of all methods, which has {len(front)} of {len(members)} trials")


def _accurate_and_calibrated(condition: str, members: Sequence[Candidate], max_ece: float, titles: Sequence[str]) -> OperatingPoint:
    name = "accurate_and_calibrated"
    if not members:
        return _none(name, condition, "no finished trial")
    calibrated = [found for found in members if found.ece <= max_ece]
    if not calibrated:
        best = min(members, key=lambda found: found.ece)
        return _none(name, condition, f"no trial has an {titles[1]} of at most {100 * max_ece:g} %; the lowest is of {best.told(titles)}")
    reason = f"the most accurate of {len(calibrated)} trials with an {titles[1]} of at most {100 * max_ece:g} %"
    return _point(name, min(calibrated, key=lambda found: found.order), reason)


def _no_worse_than(conditions: Mapping[str, Sequence[Candidate]], reference: str, titles: Sequence[str]) -> list[OperatingPoint]:
    """One point a condition, all of one method, or one that says why there is none."""
    name = "no_worse_than_cross_entropy"
    if not conditions:
        return [_none(name, None, "no finished trial")]
    plain: dict[str, Candidate] = {}
    for condition, members in conditions.items():
        of_reference = [found for found in members if found.method == reference]
        if not of_reference:
            return [_none(name, None, f"condition {condition} has no finished trial of {reference} to compare with")]
        plain[condition] = min(of_reference, key=lambda found: found.order)
    qualified: list[list[Candidate]] = []
    for method in dict.fromkeys(found.method for members in conditions.values() for found in members if found.method != reference):
        good = [
            [found for found in members if found.method == method and found.no_worse_than(plain[condition])]
            for condition, members in conditions.items()
        ]
        if all(good):
            qualified.append([min(members, key=lambda found: found.order) for members in good])
    if not qualified:
        return [_none(name, None, f"no other method is, in every condition, as good in both objectives as the most accurate {reference}")]
    best = min(qualified, key=lambda points: (fmean(-found.accuracy for found in points), fmean(found.ece for found in points)))
    return [
        _point(
            name, found, f"no worse in both objectives than {plain[found.condition].told(titles)}, as {found.method} is in every condition"
        )
        for found in best
    ]
