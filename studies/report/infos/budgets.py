"""What every arm was given and cost."""

from __future__ import annotations

from dataclasses import dataclass

from studies.report.data_table import Column, DataTable
from studies.report.source import Numbers, ReportSource

_COLUMNS = (
    Column("arm", "arm"),
    Column("sampler", "sampler"),
    Column("n_finished", "finished", "whole"),
    Column("n_failed", "failed", "whole"),
    Column("n_stopped", "stopped", "whole"),
    Column("epochs", "epochs", "whole"),
    Column("audit_epochs", "of audits", "whole"),
    Column("images_seen", "images", "whole"),
    Column("train_seconds", "training, s", "number", digits=0),
    Column("n_seeds", "seeds", "whole"),
    Column("n_searched", "settings searched", "whole"),
    Column("n_confirmed", "confirmed", "whole"),
    Column("n_confirm_finished", "trainings on test", "whole"),
    Column("n_confirm_failed", "of these failed", "whole"),
)


@dataclass(frozen=True)
class BudgetsInfo:
    """The ledger of budgets.

    Attributes:
        budgets: of the statistics document.
    """

    budgets: Numbers

    @property
    def missing(self) -> str | None:
        """Never: a study always has arms."""
        return None

    @property
    def caption(self) -> str:
        """Whether methods may be compared, and what is to be known besides."""
        if self.budgets["equal"]:
            verdict = "Budgets are equal: methods may be ranked."
        elif self.budgets["search_equal"]:
            verdict = "The searches had equal budgets, the confirming trainings had not: methods are not ranked."
        else:
            verdict = "Budgets are NOT equal: methods are not compared."
        return "\n".join([verdict, *(f"{text}." for text in (*self.budgets["reasons"], *self.budgets["notes"]))])

    def tables(self) -> list[DataTable]:
        """A row an arm."""
        return [DataTable("budgets", "What each arm was given and cost", _COLUMNS, self.budgets["arms"])]


def collect_budgets_info(source: ReportSource) -> BudgetsInfo:
    """From the statistics."""
    return BudgetsInfo(source.document["budgets"])
