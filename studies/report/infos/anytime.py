"""How soon a search had its front: hypervolume against trials and against training time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from studies.objectives import objective_titles
from studies.report.data_table import Column, DataTable
from studies.report.source import ReportSource


@dataclass(frozen=True, kw_only=True)
class Course:
    """The search of one arm, a value after each of its trials.

    Attributes:
        method: of the arm.
        sampler: that proposed settings; `random` of a twin.
        n_trials: that had ended, failed and stopped ones too.
        train_seconds: they trained together.
        epochs: they trained together.
        hypervolume: of the finished ones, as seen from accuracy 0 and ECE 1.
    """

    method: str
    sampler: str
    n_trials: Sequence[int]
    train_seconds: Sequence[float]
    epochs: Sequence[int]
    hypervolume: Sequence[float]

    @property
    def name(self) -> str:
        """As charts and tables call it."""
        return f"{self.method} at random" if self.at_random else self.method

    @property
    def at_random(self) -> bool:
        """Whether it is a random twin."""
        return self.sampler == "random"


@dataclass(frozen=True, kw_only=True)
class AnytimeInfo:
    """Hypervolume of the search's front so far.

    Attributes:
        conditions: by condition with an ended trial, its searches; random twins behind the methods.
        objectives: columns of validation values.
        validation_labels: that judged validation images.
        n_val: validation images.
        comparable: whether the searches had equal budgets.
    """

    conditions: Mapping[str, Sequence[Course]]
    objectives: tuple[str, str]
    validation_labels: str
    n_val: int
    comparable: bool

    @property
    def missing(self) -> str | None:
        """Where no trial has ended or finished."""
        courses = [course for found in self.conditions.values() for course in found]
        if not courses:
            return "No trial of the search has ended yet."
        if not any(course.hypervolume[-1] for course in courses):
            return "No trial of the search finished, so there is no front whose growth could be shown."
        return None

    @property
    def has_twins(self) -> bool:
        """Whether settings were also drawn at random."""
        return any(course.at_random for found in self.conditions.values() for course in found)

    @property
    def caption(self) -> str:
        """What grows, and what it rests on."""
        accuracy, ece = objective_titles(self.objectives)
        lines = [
            f"Area that the front of the trials so far dominates in {accuracy} and {ece}, as seen from accuracy 0 and ECE 1, by "
            f"{self.n_val} validation images with {self.validation_labels} labels.",
            "One search an arm: there is no interval, and another search with other seeds would take another course. Failed and stopped "
            "trials cost what they cost and add nothing.",
        ]
        if self.has_twins:
            lines.append("Dotted: the same number of settings drawn at random.")
        if not self.comparable:
            lines.append("Budgets of the searches are unequal: where a line ends says more than how high.")
        return "\n".join(lines)

    def tables(self) -> list[DataTable]:
        """Where each search ended, and its course."""
        names = (Column("condition", "condition"), Column("method", "method"), Column("sampler", "sampler"))
        values = (
            Column("n_trials", "trials", "whole"),
            Column("train_seconds", "training, s", "number", digits=1),
            Column("epochs", "epochs", "whole"),
            Column("hypervolume", "hypervolume", "number", digits=4),
        )
        courses = [
            [
                {"condition": condition, "method": course.method, "sampler": course.sampler}
                | {column.name: getattr(course, column.name)[index] for column in values}
                for index in range(len(course.n_trials))
            ]
            for condition, found in self.conditions.items()
            for course in found
        ]
        return [
            DataTable("anytime_end", "Hypervolume of the whole search of each arm", (*names, *values), [rows[-1] for rows in courses]),
            DataTable("anytime", "Hypervolume after each trial", (*names, *values), [row for rows in courses for row in rows]),
        ]


def collect_anytime(source: ReportSource) -> AnytimeInfo:
    """From the statistics document."""
    found = source.document["fronts"]["search"]
    conditions: dict[str, list[Course]] = {}
    for arm in source.spec.arms:
        course = found[arm.name]["anytime"]
        if course["n_trials"]:
            conditions.setdefault(arm.condition.name, []).append(Course(method=arm.method, sampler=arm.sampler, **course))
    first, second = source.spec.targets
    return AnytimeInfo(
        conditions=conditions,
        objectives=(first, second),
        validation_labels=source.spec.validation_labels,
        n_val=source.front.n_val if source.front else 0,
        comparable=source.document["budgets"]["search_equal"],
    )
