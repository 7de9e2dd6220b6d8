"""What the report is made from: a run's tables, its statistics, its study and its provenance. No Ray, no Torch."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.front import FrontInfo, collect_front
from studies.remote_folder import RemoteFolder
from studies.report.palette import Style, styles
from studies.spec import StudySpec
from studies.tables import Tables

Row = dict[str, Any]  # of a table
Numbers = Mapping[str, Any]  # parts of the document


@dataclass(frozen=True, eq=False)
class ReportSource:
    """Everything that sections are collected from.

    Attributes:
        study: its name.
        run_id: of the run.
        spec: the study.
        tables: of the run, of the form that `require_form` checks; without rows in a run of which nothing has ended.
        document: of `collect_statistics` on these tables.
        provenance: of provenance.json, with parts that may be missing.
        path: the run's folder, where predictions and features lie; what is not there is not shown.
        place: where the results are, for commands.
    """

    study: str
    run_id: str
    spec: StudySpec
    tables: Tables
    document: Numbers
    provenance: Mapping[str, Any]
    path: Path
    place: Path | RemoteFolder

    @functools.cached_property
    def trials(self) -> list[Row]:
        """Rows of table trials."""
        rows: list[Row] = self.tables.trials.to_pylist()
        return rows

    @property
    def searched(self) -> list[Row]:
        """Trials of the search, without random twins."""
        return [row for row in self.trials if row["phase"] == "search" and row["sampler"] != "random"]

    @property
    def confirming(self) -> list[Row]:
        """Trainings of the confirm phase."""
        return [row for row in self.trials if row["phase"] == "confirm"]

    @functools.cached_property
    def evaluations(self) -> list[Row]:
        """Rows of table evaluations."""
        rows: list[Row] = self.tables.evaluations.to_pylist()
        return rows

    @property
    def conditions(self) -> list[str]:
        """In the order of the study."""
        return [condition.name for condition in self.spec.conditions]

    @property
    def methods(self) -> list[str]:
        """In the order of the study."""
        return list(dict.fromkeys(arm.method for arm in self.spec.compared_arms))

    @functools.cached_property
    def styles(self) -> dict[str, Style]:
        """How each method looks, everywhere."""
        return styles(self.methods)

    @functools.cached_property
    def front(self) -> FrontInfo | None:
        """The fronts of the search; None where it has no row."""
        if not self.searched:
            return None
        return collect_front(self.tables.trials, self.tables.evaluations, arms=[arm.name for arm in self.spec.compared_arms])

    def confirmed(self, condition: str, method: str, role: str = "best_accuracy") -> Numbers | None:
        """The confirmed summary that stands for a method in a condition; None where nothing of it was confirmed by that role."""
        for point in self.document["confirmed"]:
            if (point["condition"], point["method"]) == (condition, method) and role in point["roles"]:
                return point  # type: ignore[no-any-return]
        return None
