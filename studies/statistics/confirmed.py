"""What the confirm phase says of each chosen setting: every metric over its fresh seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from studies.operating_points import OPERATING_ROLES
from studies.statistics.seeds import SeedSummary, summarise
from studies.tables import TRIALS

Row = Mapping[str, Any]  # of table trials

ARM_ROLES: Final = ("best_accuracy", "knee", "best_ece", "front")
ROLES: Final = (*ARM_ROLES, *OPERATING_ROLES)
METRICS: Final = (
    *(
        field.name
        for field in TRIALS
        if field.type == pa.float64() and field.name.startswith("test_") and not field.name.endswith(("_low", "_high"))
    ),
    "val_accuracy",
    "val_ece",
)


@dataclass(frozen=True, kw_only=True)
class ConfirmedPoint:
    """A setting that was chosen in the search, and its trainings with fresh seeds.

    Attributes:
        trial_id: of the search trial.
        arm, method, condition: its arm.
        roles: as in `ROLES`.
        settings: of the search trial, and so of all its trainings.
        temperature: of the search trial, for trainings that have none of their own.
        trainings: rows of phase confirm, finished and failed, by replicate; fewer than wanted while a run is unfinished.
    """

    trial_id: str
    arm: str
    method: str
    condition: str
    roles: tuple[str, ...]
    settings: dict[str, Any]
    temperature: float | None
    trainings: list[Row]

    @property
    def chosen_in_arm(self) -> bool:
        """Whether its arm gave it, as every arm does; else only an operating point names it."""
        return any(role in ARM_ROLES for role in self.roles)

    @property
    def finished(self) -> list[Row]:
        """Trainings that came to their end."""
        return [row for row in self.trainings if row["state"] == "complete"]

    def values(self, metric: str) -> dict[int, float | None]:
        """By replicate, of the finished trainings."""
        return {row["replicate"]: row[metric] for row in self.finished}

    def outcomes(self, metric: str) -> list[float | None]:
        """Of all trainings; None of a failed one."""
        return [row[metric] for row in self.trainings]


@dataclass(frozen=True, kw_only=True)
class ConfirmedSummary:
    """A confirmed setting in numbers.

    Attributes:
        trial_id, arm, method, condition, roles, settings: as in `ConfirmedPoint`.
        n_finished, n_failed: its trainings.
        metrics: by column of table `trials`, over seeds; a failed training is a missing value.
        image_intervals: of `test_accuracy` and `test_ece`, what other images would change: the ends of each training's bootstrap interval,
            averaged over seeds. None without a finished training.
        corruption_accuracy: by corruption, the accuracy on test images, averaged over severities, over seeds.
    """

    trial_id: str
    arm: str
    method: str
    condition: str
    roles: tuple[str, ...]
    settings: dict[str, Any]
    n_finished: int
    n_failed: int
    metrics: dict[str, SeedSummary]
    image_intervals: dict[str, tuple[float | None, float | None]]
    corruption_accuracy: dict[str, SeedSummary]


def confirmed_points(trials: Iterable[Row], *, arms: Sequence[str]) -> list[ConfirmedPoint]:
    """The chosen settings, arm by arm, in an arm by what they are.

    Args:
        trials: all rows of table trials.
        arms: in the order wanted.
    """
    rows = list(trials)
    trainings: dict[str, list[Row]] = {}
    for row in sorted((row for row in rows if row["phase"] == "confirm"), key=lambda row: row["replicate"]):
        trainings.setdefault(row["confirms"], []).append(row)
    points = [
        ConfirmedPoint(
            trial_id=row["trial_id"],
            arm=row["arm"],
            method=row["method"],
            condition=row["condition"],
            roles=tuple(row["chosen_as"].split(", ")),
            settings=settings_of(row),
            temperature=row["temperature"],
            trainings=trainings.get(row["trial_id"], []),
        )
        for row in rows
        if row["phase"] == "search" and row["chosen_as"] is not None
    ]
    return sorted(points, key=lambda point: (arms.index(point.arm), min(map(ROLES.index, point.roles))))


def settings_of(row: Row) -> dict[str, Any]:
    """The hyperparameters of a trial, by name."""
    return {name.removeprefix("param_"): value for name, value in row.items() if name.startswith("param_") and value is not None}


def summarise_point(point: ConfirmedPoint, corruptions: Mapping[str, Mapping[str, float]]) -> ConfirmedSummary:
    """Every metric of a point over its seeds.

    Args:
        point: with its trainings.
        corruptions: `corruption_accuracies` of the run.
    """
    finished = point.finished
    names = sorted({name for row in finished for name in corruptions.get(row["trial_id"], {})})
    return ConfirmedSummary(
        trial_id=point.trial_id,
        arm=point.arm,
        method=point.method,
        condition=point.condition,
        roles=point.roles,
        settings=point.settings,
        n_finished=len(finished),
        n_failed=len(point.trainings) - len(finished),
        metrics={metric: summarise(row[metric] for row in point.trainings) for metric in METRICS},
        image_intervals={
            metric: (summarise(row[f"{metric}_low"] for row in finished).mean, summarise(row[f"{metric}_high"] for row in finished).mean)
            for metric in ("test_accuracy", "test_ece")
        },
        corruption_accuracy={name: summarise(corruptions.get(row["trial_id"], {}).get(name) for row in point.trainings) for name in names},
    )


def corruption_accuracies(evaluations: pa.Table) -> dict[str, dict[str, float]]:
    """By confirm trial, by corruption: the accuracy on test images, averaged over severities."""
    wanted = pc.and_(pc.equal(evaluations["split"], "test"), pc.equal(evaluations["shift"], "corruption"))
    rows = evaluations.filter(pc.and_(wanted, pc.equal(evaluations["phase"], "confirm")))
    means = rows.group_by(["trial_id", "name"], use_threads=False).aggregate([("accuracy", "mean")])
    found: dict[str, dict[str, float]] = {}
    for row in means.to_pylist():
        found.setdefault(row["trial_id"], {})[row["name"]] = row["accuracy_mean"]
    return found
