"""Methods x conditions in numbers: every metric over the seeds, and what tells a method apart from plain training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from studies.report.compared import SAME
from studies.report.data_table import Cell, Column, DataTable, Kind, interval_columns
from studies.report.source import ReportSource, Row
from studies.report.standings import Standing, Standings, collect_standings
from studies.robustness import BASE_METHOD
from studies.statistics.seeds import SeedSummary

# By column, less its `test_` or `val_`: above the column, how it is shown, and digits.
_METRICS: Final[tuple[tuple[str, str, Kind, int], ...]] = (
    ("accuracy", "accuracy, %", "percent", 1),
    ("ece", "ECE, %", "percent", 1),
    ("nll", "NLL, nats", "number", 3),
    ("ece_temperature_scaled", "ECE after scaling, %", "percent", 1),
    ("mean_corruption_error", "mean corruption error, %", "percent", 1),
    ("flip_probability", "flip probability, %", "percent", 2),
    ("label_recovery", "label recovery, %", "percent", 1),
)
_MARKS: Final = {"better": "better", "worse": "worse", SAME: "="}
_HERE: Final = "*"


@dataclass(frozen=True)
class Entry:
    """One method in one condition.

    Attributes:
        standing: its trainings.
        metrics: by name, over the seeds.
        marks: by name, where the metric is compared with the base method: better, worse or =, with * where only for these images.
    """

    standing: Standing
    metrics: Mapping[str, SeedSummary]
    marks: Mapping[str, str]


@dataclass(frozen=True)
class ConditionsInfo:
    """The table of methods and conditions.

    Attributes:
        standings: which trainings.
        entries: by condition and method in the order of the study.
        base: the method that others are compared with; None where no verdict is given.
        unjudged: why budgets allow no verdict; None where they do, or where nothing is compared.
    """

    standings: Standings
    entries: list[Entry]
    base: str | None
    unjudged: str | None

    @property
    def missing(self) -> str | None:
        """Without a finished training."""
        return None if self.entries else "No training has come to its end yet, so there is nothing to set side by side."

    @property
    def caption(self) -> str:
        """Which trainings, what the intervals cover and what the marks say."""
        lines = [self.standings.about]
        if any(summary.low is not None for entry in self.entries for summary in entry.metrics.values()):
            lines.append("[low, high]: 95 % interval (Student's t) of the mean over fresh seeds, on these images.")
        if self.base is not None:
            lines.append(
                f"better, worse: than {self.base} in the same condition, p < 0.05 after Holm's correction for all pairs and conditions of "
                f"the metric; =: {SAME}, which is no proof of being equal. Metrics without marks are not compared."
            )
            if any(mark.endswith(_HERE) for entry in self.entries for mark in entry.marks.values()):
                lines.append(f"{_HERE}: the verdict is over seeds alone and holds for these images.")
        if self.unjudged is not None:
            lines.append(f"No marks: budgets are NOT equal, so a difference may be one of budgets ({self.unjudged}).")
        lines += [text for name, text in self._explained().items() if any(entry.metrics[name].n for entry in self.entries)]
        return "\n".join(lines)

    def _explained(self) -> dict[str, str]:
        return {
            "ece_temperature_scaled": f"After scaling: by one temperature a network, fitted on {self.standings.fitted_on}.",
            "mean_corruption_error": "Mean corruption error: plain mean of the error rates of all corruptions and severities.",
            "flip_probability": "Flip probability: how often the predicted class changes from one image of a sequence to the next.",
            "label_recovery": "Label recovery: of the wrongly labelled training images, the share whose true label is estimated in the "
            "last epoch.",
        }

    def tables(self) -> list[DataTable]:
        """A row a method and condition; metrics that nothing measured are left out."""
        split = self.standings.split
        columns = [
            Column("condition", "condition"),
            Column("method", "method"),
            Column("n", "n", "whole"),
            Column("n_failed", "failed", "whole"),
        ]
        shown = [metric for metric in _METRICS if any(entry.metrics[metric[0]].n for entry in self.entries)]
        for name, title, kind, digits in shown:
            column = _column(name, split)
            mark = f"{column}_mark"
            columns += [*interval_columns(column, title, kind, digits, mark=mark), Column(mark, f"{title}, verdict")]
        rows = [self._row(entry, [name for name, *_ in shown], split) for entry in self.entries]
        where = "test" if self.standings.confirmed else "validation"
        return [DataTable("conditions", f"Methods in each condition, on {where} images", columns, rows)]

    def _row(self, entry: Entry, names: list[str], split: str) -> dict[str, Cell]:
        standing = entry.standing
        row: dict[str, Cell] = {
            "condition": standing.condition,
            "method": standing.method,
            "n": len(standing.trainings),
            "n_failed": standing.n_failed,
        }
        for name in names:
            summary, column = entry.metrics[name], _column(name, split)
            row |= {column: summary.mean, f"{column}_low": summary.low, f"{column}_high": summary.high}
            row[f"{column}_mark"] = entry.marks.get(name)
        return row


def collect_conditions(source: ReportSource) -> ConditionsInfo:
    """From the tables, and the verdicts of the statistics document."""
    standings = collect_standings(source)
    values = _values(source, standings)
    marks, base = _marks(source, standings)
    entries = [
        Entry(
            standing,
            {name: standing.over_seeds(values[name]) for name, *_ in _METRICS},
            marks.get((standing.condition, standing.method), {}),
        )
        for standing in standings.by_arm.values()
    ]
    budgets = source.document["budgets"]
    compared = standings.confirmed and bool(source.document["comparisons"])
    unjudged = "; ".join(budgets["reasons"]) if compared and not budgets["equal"] else None
    return ConditionsInfo(standings, entries, base, unjudged)


def _column(name: str, split: str) -> str:
    """As the tables call it; recovery is of training images."""
    return name if name == "label_recovery" else f"{split}_{name}"


def _values(source: ReportSource, standings: Standings) -> dict[str, Callable[[Row], float | None] | str]:
    """Where each metric of a training is found."""
    values: dict[str, Callable[[Row], float | None] | str] = {name: _column(name, standings.split) for name, *_ in _METRICS}
    wanted = pa.array([row["trial_id"] for standing in standings.by_arm.values() for row in standing.trainings], pa.string())
    recovery = _last_recovery(source.tables.epochs, wanted)
    values["label_recovery"] = lambda row: recovery.get(row["trial_id"])
    if not standings.confirmed:  # the search keeps it in the table of evaluations alone
        scaled = _scaled_ece(source.tables.evaluations, wanted)
        values["ece_temperature_scaled"] = lambda row: scaled.get(row["trial_id"])
    return values


def _last_recovery(epochs: pa.Table, trials: pa.Array) -> dict[str, float | None]:
    """By trial, of its last epoch."""
    rows = epochs.select(["trial_id", "epoch", "label_recovery"]).filter(pc.is_in(epochs["trial_id"], value_set=trials))
    ordered = rows.sort_by("epoch")
    return dict(zip(ordered["trial_id"].to_pylist(), ordered["label_recovery"].to_pylist(), strict=True))  # the last one stays


def _scaled_ece(evaluations: pa.Table, trials: pa.Array) -> dict[str, float | None]:
    clean = pc.and_(pc.equal(evaluations["split"], "val"), pc.equal(evaluations["shift"], "clean"))
    rows = evaluations.filter(pc.and_(clean, pc.is_in(evaluations["trial_id"], value_set=trials)))
    return dict(zip(rows["trial_id"].to_pylist(), rows["ece_temperature_scaled"].to_pylist(), strict=True))


def _marks(source: ReportSource, standings: Standings) -> tuple[dict[tuple[str, str], dict[str, str]], str | None]:
    """By condition and method, by metric; and the method that they are about, plain training or else the study's first."""
    base = BASE_METHOD if BASE_METHOD in source.methods else source.methods[0]
    names = {name for name, *_ in _METRICS}
    found: dict[tuple[str, str], dict[str, str]] = {}
    for pair in source.document["comparisons"] if standings.confirmed else []:
        if pair["role"] == standings.role and pair["other"] == base and pair["verdict"] is not None:
            here = _HERE if pair["over"] == "seeds" and pair["verdict"] != SAME else ""
            of_method = found.setdefault((pair["condition"], pair["method"]), {})
            name = pair["metric"].removeprefix("test_")
            of_method |= {name: _MARKS[pair["verdict"]] + here} if name in names else {}
    return found, base if found else None
