"""Which trainings failed or were stopped, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from studies.report.data_table import Column, DataTable
from studies.report.source import ReportSource, Row

_COLUMNS = (
    Column("trial_id", "trial"),
    Column("arm", "arm"),
    Column("phase", "phase"),
    Column("epochs", "epochs", "whole"),
    Column("error", "reason"),
)


@dataclass(frozen=True)
class FailuresInfo:
    """Failed trainings.

    Attributes:
        rows: of table trials, those that failed.
        n_ended: trainings that ended, of both phases.
    """

    rows: list[Row]
    n_ended: int

    @property
    def missing(self) -> str | None:
        """Where none failed."""
        return None if self.rows else f"None of {self.n_ended} trainings failed." if self.n_ended else "No training has ended yet."

    @property
    def caption(self) -> str:
        """How many, and the reasons by number."""
        reasons = Counter(str(row["error"]).partition(":")[0] for row in self.rows)
        counted = ", ".join(f"{reason} ({n})" for reason, n in reasons.most_common())
        return f"{len(self.rows)} of {self.n_ended} trainings failed: {counted}. In the search they were replaced, so arms stay equal."

    def tables(self) -> list[DataTable]:
        """A row a failed training."""
        return [DataTable("failures", "Trainings that failed, and why", _COLUMNS, self.rows)]


def collect_failures(source: ReportSource) -> FailuresInfo:
    """From table trials."""
    return FailuresInfo([row for row in source.trials if row["state"] == "failed"], len(source.trials))
