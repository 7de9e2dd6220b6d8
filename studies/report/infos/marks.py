"""The points of the plane of accuracy and ECE: one method's trials, and its confirmed settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from studies.front import Point
from studies.pareto import non_dominated
from studies.report.source import Numbers


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A confirmed setting, by test values over fresh seeds.

    Attributes:
        trial_id: of the search trial.
        roles: it was chosen as.
        settings: by name.
        accuracy, ece: `SeedSummary` of the objectives on test images, with a mean.
        nll: mean; of clean images, as the search's.
        n_finished, n_failed: its trainings.
        on_front: of the confirmed settings of its arm; a setting that led by validation values need not.
    """

    trial_id: str
    roles: Sequence[str]
    settings: dict[str, Any]
    accuracy: Numbers
    ece: Numbers
    nll: float | None
    n_finished: int
    n_failed: int
    on_front: bool

    @property
    def place(self) -> tuple[float, float]:
        """Accuracy and ECE."""
        return self.accuracy["mean"], self.ece["mean"]

    @property
    def corners(self) -> list[tuple[float, float]]:
        """Ends of its intervals as (accuracy, ECE), as far as such values can be: between 0 and 1."""
        ends = [(self.accuracy[end], self.ece[end]) for end in ("low", "high")]
        return [(_possible(accuracy), _possible(ece)) for accuracy, ece in ends if accuracy is not None and ece is not None]


def _possible(fraction: float) -> float:
    return min(1.0, max(0.0, fraction))


@dataclass(frozen=True, kw_only=True)
class MethodPlane:
    """One method in one condition.

    Attributes:
        method: its name.
        searched: finished trials.
        marks: confirmed settings with a finished training.
    """

    method: str
    searched: Sequence[Point]
    marks: Sequence[Mark]

    @property
    def front(self) -> list[Point]:
        """Members of the search's front, by ECE."""
        return sorted((point for point in self.searched if point.on_front), key=lambda point: (point.chosen_by[1], point.chosen_by[0]))

    @property
    def behind(self) -> list[Point]:
        """The other trials."""
        return [point for point in self.searched if not point.on_front]


def marks_of(document: Numbers, condition: str, method: str, objectives: tuple[str, str]) -> list[Mark]:
    """The confirmed settings of one arm that were measured.

    Args:
        document: of `collect_statistics`.
        condition, method: of the arm.
        objectives: columns of validation values; those of test values are taken.
    """
    columns = [name.replace("val_", "test_", 1) for name in objectives]
    points = [
        point
        for point in document["confirmed"]
        if (point["condition"], point["method"]) == (condition, method)
        and all(point["metrics"][name]["mean"] is not None for name in columns)
    ]
    means = [[point["metrics"][name]["mean"] for point in points] for name in columns]
    return [
        Mark(
            trial_id=point["trial_id"],
            roles=point["roles"],
            settings=point["settings"],
            accuracy=point["metrics"][columns[0]],
            ece=point["metrics"][columns[1]],
            nll=point["metrics"]["test_nll"]["mean"],
            n_finished=point["n_finished"],
            n_failed=point["n_failed"],
            on_front=bool(on_front),
        )
        for point, on_front in zip(points, non_dominated(*means), strict=True)
    ]
