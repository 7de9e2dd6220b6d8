"""The settings that a study recommends, with what confirmed them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studies.front import format_settings
from studies.objectives import short_titles
from studies.report.data_table import Cell, Column, DataTable, interval_columns
from studies.report.recommended import retrain_command
from studies.report.source import Numbers, ReportSource

_ALL: str = "all"  # in place of a condition, where a point is about all of them


@dataclass(frozen=True, kw_only=True)
class OperatingPointsInfo:
    """Recommended settings by condition.

    Attributes:
        rows: of the table, one a recommendation, also where there is none to give.
        objectives: columns of validation values, which chose.
        n_seeds: smallest and largest number of finished trainings on test; None where none was confirmed.
        n_test: test images; None where nothing was measured on them.
        validation_labels: that judged validation images.
        comparable: whether the searches had equal budgets.
    """

    rows: Sequence[Mapping[str, Cell]]
    objectives: tuple[str, str]
    n_seeds: tuple[int, int] | None
    n_test: int | None
    validation_labels: str
    comparable: bool

    @property
    def missing(self) -> str | None:
        """Where no trial has finished."""
        if any(row["trial_id"] is not None for row in self.rows):
            return None
        return "Nothing can be recommended: " + "; ".join(dict.fromkeys(str(row["reason"]) for row in self.rows)) + "."

    @property
    def caption(self) -> str:
        """What chose, and what the test values rest on."""
        lines = [f"Chosen by validation values of one training each, {self.validation_labels} labels, over all methods of a condition."]
        if self.n_seeds is None:
            lines.append("None of them has a finished training on test images: their validation values look better than they are.")
        else:
            low, high = self.n_seeds
            n = f"{low}" if low == high else f"{low} to {high}"
            interval = ", with 95 % intervals (Student's t) on these images" if high > 1 else ""
            lines.append(f"On test: means over {n} fresh seed{'' if n == '1' else 's'} by {self.n_test} images with true labels{interval}.")
        if any(row["confirmed_as"] not in (None, row["trial_id"]) for row in self.rows):
            lines.append("Where another trial was confirmed, it has the same settings.")
        if not self.comparable:
            lines.append("Budgets of the searches are unequal: that a method is recommended may be due to budgets.")
        return "\n".join(lines)

    def tables(self) -> list[DataTable]:
        """A row a recommendation."""
        accuracy, ece = short_titles(self.objectives)
        renamed = any(row["confirmed_as"] not in (None, row["trial_id"]) for row in self.rows)
        columns = (
            Column("condition", "condition"),
            Column("name", "operating point"),
            Column("method", "method"),
            Column("trial_id", "trial"),
            Column("command", "retrain", "command"),
            *interval_columns("test_accuracy", "test accuracy, %", "percent"),
            *interval_columns("test_ece", "test ECE, %", "percent"),
            Column("n_seeds", "seeds", "whole"),
            Column(self.objectives[0], f"validation {accuracy}, %", "percent"),
            Column(self.objectives[1], f"validation {ece}, %", "percent"),
            Column("settings", "settings"),
            Column("reason", "why"),
            *([Column("confirmed_as", "confirmed as")] if renamed else []),
        )
        return [DataTable("operating_points", "Recommended settings", columns, self.rows)]


def collect_operating_points(source: ReportSource) -> OperatingPointsInfo:
    """From the statistics; settings and validation values from table trials."""
    document = source.document
    trials = {row["trial_id"]: row for row in source.searched}
    rows = [_row(point, trials.get(point["trial_id"]), source) for point in document["operating_points"]]
    n_seeds = [row["n_seeds"] for row in rows if row["n_seeds"]]
    first, second = source.spec.targets
    return OperatingPointsInfo(
        rows=rows,
        objectives=(first, second),
        n_seeds=(min(n_seeds), max(n_seeds)) if n_seeds else None,
        n_test=document["setup"]["n_test"],
        validation_labels=source.spec.validation_labels,
        comparable=document["budgets"]["search_equal"],
    )


def _row(point: Numbers, trial: Numbers | None, source: ReportSource) -> dict[str, Any]:
    row: dict[str, Any] = {name: point[name] for name in ("name", "method", "trial_id", "reason", "confirmed_as")}
    row |= {"condition": _ALL if point["condition"] is None else point["condition"], "n_seeds": None}
    if trial is not None:
        own = {name.removeprefix("param_"): value for name, value in trial.items() if name.startswith("param_") and value is not None}
        row |= {"settings": format_settings(own), "command": retrain_command(source.place, trial["trial_id"])}
        row |= {name: trial[name] for name in source.spec.targets}
    for name in ("test_accuracy", "test_ece"):
        if (summary := point[name]) is not None:
            row |= {name: summary["mean"], f"{name}_low": summary["low"], f"{name}_high": summary["high"], "n_seeds": summary["n"]}
    return row
