"""What networks make of wrong labels, epoch by epoch: whether they learn them by heart, or find the true ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from studies.report.data_table import Column, DataTable, interval_columns
from studies.report.source import ReportSource
from studies.report.standings import Standings, collect_standings

Float64 = npt.NDArray[np.float64]
Measure = Literal["memorised", "label_recovery"]
MEASURES: Final[tuple[Measure, ...]] = ("memorised", "label_recovery")
TITLES: Final[Mapping[Measure, str]] = {
    "memorised": "wrong labels learnt by heart, %",
    "label_recovery": "true labels recovered, %",
}
_LEVEL: Final = 0.95


@dataclass(frozen=True)
class Band:
    """A mean by epoch; fractions.

    Attributes:
        n: (E,) trainings that have a value.
        mean: (E,) of them; NaN without any.
        low, high: (E,) ends of the 95 % interval of the mean (Student's t); NaN with fewer than two trainings.
    """

    n: npt.NDArray[np.int64]
    mean: Float64
    low: Float64
    high: Float64


@dataclass(frozen=True)
class MethodCurves:
    """One method in one condition with wrong labels.

    Attributes:
        method: name.
        n: trainings.
        bands: by measure, of epochs 1 to E.
    """

    method: str
    n: int
    bands: Mapping[Measure, Band]


@dataclass(frozen=True)
class MemorisationInfo:
    """The curves, by condition with wrong labels.

    Attributes:
        standings: which trainings, where something is confirmed.
        n_ended: trainings that came to their end, in any condition.
        conditions: the curves in the order of the methods.
    """

    standings: Standings
    n_ended: int
    conditions: dict[str, list[MethodCurves]]

    @property
    def missing(self) -> str | None:
        """Without wrong labels, or without a finished training."""
        if self.conditions:
            return None
        if not self.n_ended:
            return "No training has come to its end yet."
        return "No finished training had wrong labels to learn; a condition such as symmetric:0.4 gives some."

    @property
    def caption(self) -> str:
        """Which trainings, and what the band is."""
        several = any(curves.n > 1 for members in self.conditions.values() for curves in members)
        if self.standings.confirmed:
            lines = [self.standings.trainings, "Lines: means over the fresh seeds."]
            band = "Bands: 95 % interval (Student's t) of the mean over seeds."
        else:
            counts = sorted({curves.n for members in self.conditions.values() for curves in members})
            n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
            lines = [f"Nothing is confirmed: means over all n = {n} finished trials of each method's search, whose settings differ."]
            band = "Bands: 95 % interval (Student's t) of that mean over settings, not over seeds of one."
        return "\n".join(
            [
                *lines,
                *([band] if several else ["One training each: no interval."]),
                "Of the wrongly labelled training images: learnt by heart are those predicted as their wrong label, recovered those whose "
                "true label is estimated.",
            ]
        )

    def tables(self) -> list[DataTable]:
        """A row a condition, method and epoch."""
        columns = [
            Column("condition", "condition"),
            Column("method", "method"),
            Column("epoch", "epoch", "whole"),
            Column("n", "n", "whole"),
        ]
        for measure in MEASURES:
            columns += interval_columns(measure, TITLES[measure], "percent")
        rows = []
        for condition, members in self.conditions.items():
            for curves in members:
                series = {"n": curves.bands["memorised"].n.tolist()}
                for measure, band in curves.bands.items():
                    values = {measure: band.mean, f"{measure}_low": band.low, f"{measure}_high": band.high}
                    series |= {name: known(column) for name, column in values.items()}
                fixed = {"condition": condition, "method": curves.method}
                cells = zip(*series.values(), strict=True)
                rows += [fixed | {"epoch": epoch} | dict(zip(series, row, strict=True)) for epoch, row in enumerate(cells, start=1)]
        return [DataTable("memorisation", "Wrong labels learnt by heart and true labels recovered, by epoch", columns, rows)]


def known(values: Float64) -> list[float | None]:
    """NaN as None."""
    return [None if np.isnan(value) else value for value in values.tolist()]


def collect_memorisation(source: ReportSource) -> MemorisationInfo:
    """From table epochs: of the trainings that stand for each method, or of all finished trials of its search."""
    standings = collect_standings(source)
    if standings.confirmed:
        arms = {key: [row["trial_id"] for row in standing.trainings] for key, standing in standings.by_arm.items()}
    else:
        arms = {key: [] for key in standings.by_arm}
        for row in source.searched:
            if row["state"] == "complete" and (row["condition"], row["method"]) in arms:
                arms[row["condition"], row["method"]].append(row["trial_id"])
    trials = [trial_id for members in arms.values() for trial_id in members]
    measured = {measure: by_epoch(source.tables.epochs, measure, trials) for measure in MEASURES}  # (T, E)
    conditions: dict[str, list[MethodCurves]] = {}
    start = 0
    for (condition, method), members in arms.items():
        part = slice(start, start + len(members))
        start = part.stop
        values = {measure: grid[part] for measure, grid in measured.items()}
        n = int(np.any([~np.isnan(grid) for grid in values.values()], axis=(0, 2)).sum())
        if n:
            bands = {measure: mean_band(grid) for measure, grid in values.items()}
            conditions.setdefault(condition, []).append(MethodCurves(method, n, bands))
    return MemorisationInfo(standings, len(trials), conditions)


def by_epoch(epochs: pa.Table, column: str, trials: list[str]) -> Float64:
    """(T, E) of a column of table epochs; NaN where a trial has no such epoch or value."""
    places = pc.index_in(epochs["trial_id"], value_set=pa.array(trials, pa.string()))
    here = pc.is_valid(places)
    at = np.asarray(places.filter(here).to_numpy(), dtype=np.int64)
    rows = epochs.filter(here)
    epoch = np.asarray(rows["epoch"].to_numpy(), dtype=np.int64)
    values = np.full((len(trials), int(epoch.max(initial=0))), np.nan)
    values[at, epoch - 1] = rows[column].to_numpy().astype(np.float64)
    return values


def mean_band(values: Float64) -> Band:
    """Mean and 95 % interval by epoch of (T, E) values, NaN left out: `studies.statistics.seeds.summarise` for each epoch at once."""
    there = ~np.isnan(values)
    n = there.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(there, values, 0.0).sum(axis=0) / np.where(n, n, np.nan)
        squares = np.where(there, (values - mean) ** 2, 0.0).sum(axis=0)
        half = np.where(n > 1, stats.t.isf((1 - _LEVEL) / 2, np.maximum(n - 1, 1)) * np.sqrt(squares / (n - 1) / n), np.nan)
    return Band(n, mean, mean - half, mean + half)
