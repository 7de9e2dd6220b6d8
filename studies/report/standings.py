"""What stands for a method in a condition wherever methods are shown side by side: one setting, by its trainings."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from studies.report.confirmed import of_wanted, wrong_labels_of
from studies.report.source import ReportSource, Row
from studies.statistics.comparisons import COMPARED_ROLES
from studies.statistics.confirmed import ConfirmedPoint, confirmed_points
from studies.statistics.seeds import SeedSummary, summarise
from studies.statistics.stored import temperature_of

Key = tuple[str, str]  # condition, method

ROLE_TITLES: Final = {"best_accuracy": "most accurate", "best_ece": "best calibrated", "knee": "knee"}


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One method in one condition.

    Attributes:
        condition, method: of its arm.
        trial_id: of the search trial whose setting stands for the method.
        trainings: rows of table trials that came to their end: those that confirm the setting, or the search trial itself.
        n_failed: trainings of the setting that failed.
        temperatures: by training, of temperature scaling; None where there is none.
    """

    condition: str
    method: str
    trial_id: str
    trainings: list[Row]
    n_failed: int
    temperatures: Mapping[str, float | None]

    def over_seeds(self, value: Callable[[Row], float | None] | str) -> SeedSummary:
        """A column, or what a function makes of each training, over the seeds; a failed training is a missing value."""
        of = (lambda row: row[value]) if isinstance(value, str) else value
        return summarise([*map(of, self.trainings), *[None] * self.n_failed])


@dataclass(frozen=True, kw_only=True)
class Standings:
    """All of them, by condition and method in the order of the study; an arm in which nothing came to its end is not there.

    Attributes:
        confirmed: whether the trainings are those of the confirm phase, on test images; else each method has one of the search.
        role: which confirmed setting stands for a method.
        by_arm: the standings.
        conditions: those that have any.
        trainings: sentences for captions: which setting stands for a method, and how many trainings.
        images: a sentence for captions: which images and labels judge.
        fitted_on: what temperatures were fitted on, for captions.
    """

    confirmed: bool
    role: str
    by_arm: Mapping[Key, Standing]
    conditions: list[str]
    trainings: str
    images: str
    fitted_on: str

    @property
    def about(self) -> str:
        """All of these sentences."""
        return f"{self.trainings}\n{self.images}"

    @property
    def split(self) -> Literal["test", "val"]:
        """Of the images that judge, as in table evaluations."""
        return "test" if self.confirmed else "val"

    def of(self, condition: str) -> list[Standing]:
        """In the order of the methods."""
        return [standing for (name, _), standing in self.by_arm.items() if name == condition]


@functools.lru_cache(maxsize=1)  # several sections of one report ask for them
def collect_standings(source: ReportSource) -> Standings:
    """Who stands for whom: settings that were confirmed, or, where no confirming training has come to its end, search trials.

    Of the confirmed settings it is the most accurate one; where a study confirms others only, the first role that all methods have.
    """
    points = confirmed_points(source.trials, arms=[arm.name for arm in source.spec.compared_arms])
    role = _role(points)
    chosen = {(point.condition, point.method): _confirmed(point) for point in points if role in point.roles and point.finished}
    confirmed = bool(chosen)
    found = chosen or _searched(source)
    order = [(condition, method) for condition in source.conditions for method in source.methods]
    by_arm = {key: found[key] for key in order if key in found}
    trainings, images = _about_confirmed(source, role, by_arm.values()) if confirmed else _about_searched(source)
    conditions = list(dict.fromkeys(condition for condition, _ in by_arm))
    return Standings(
        confirmed=confirmed,
        role=role,
        by_arm=by_arm,
        conditions=conditions,
        trainings=trainings,
        images=images,
        fitted_on=_fitted_on(source, confirmed),
    )


def _role(points: Iterable[ConfirmedPoint]) -> str:
    held: dict[Key, set[str]] = {}
    for point in points:
        held.setdefault((point.condition, point.method), set()).update(point.roles)
    return next((role for role in COMPARED_ROLES if all(role in roles for roles in held.values())), COMPARED_ROLES[0])


def _confirmed(point: ConfirmedPoint) -> Standing:
    return Standing(
        condition=point.condition,
        method=point.method,
        trial_id=point.trial_id,
        trainings=[dict(row) for row in point.finished],
        n_failed=len(point.trainings) - len(point.finished),
        temperatures={row["trial_id"]: temperature_of(row, point) for row in point.finished},
    )


def _searched(source: ReportSource) -> dict[Key, Standing]:
    """Each arm's most accurate trial by the study's objectives; of equal ones the better calibrated, then the first."""
    best: dict[Key, tuple[tuple[float, float], Row]] = {}
    for row in source.searched:
        accuracy, ece = (row[name] for name in source.spec.targets)
        if row["state"] != "complete" or accuracy is None or ece is None:
            continue
        key, rank = (row["condition"], row["method"]), (accuracy, -ece)
        if key not in best or rank > best[key][0]:
            best[key] = (rank, row)
    return {
        key: Standing(
            condition=key[0],
            method=key[1],
            trial_id=row["trial_id"],
            trainings=[row],
            n_failed=0,
            temperatures={row["trial_id"]: row["temperature"]},
        )
        for key, (_, row) in best.items()
    }


def _fitted_on(source: ReportSource, confirmed: bool) -> str:
    if not confirmed:
        return "these very images, so it is what scaling could at best achieve"
    whose = " by the search's training of the setting" if source.document["setup"]["train_on"] == "train+val" else ""
    return f"validation images{whose}"


def _about_confirmed(source: ReportSource, role: str, standings: Iterable[Standing]) -> tuple[str, str]:
    """Trainings and images."""
    setup = source.document["setup"]
    standings = list(standings)
    counts = sorted({len(standing.trainings) for standing in standings})
    n = of_wanted(counts[0], setup["seeds"]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]} of {setup['seeds']}"
    failed = sum(standing.n_failed for standing in standings)
    trainings = (
        f"Each method by its {ROLE_TITLES[role]} setting of the search ({role}, chosen by {source.spec.validation_labels} validation "
        f"labels), trained again: n = {n} fresh seeds{wrong_labels_of(source.document)}, on {setup['train_on']}."
    )
    if failed:
        trainings += f" {failed} of these trainings failed and are left out, which flatters their methods."
    return trainings, f"{setup['n_test']} test images, judged by their true labels."


def _about_searched(source: ReportSource) -> tuple[str, str]:
    """Trainings and images."""
    n_val = source.front.n_val if source.front else 0
    labels = source.spec.validation_labels
    return (
        f"Nothing is confirmed: each method by its most accurate trial of the search by {labels} validation labels, n = 1 training; no "
        "interval over seeds.",
        f"{n_val} validation images, judged by {labels} labels: they chose these trials, so the values flatter.",
    )
