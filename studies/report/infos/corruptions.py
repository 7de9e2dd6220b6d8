"""Accuracy and ECE on corrupted images, by corruption and severity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from studies.report.data_table import Cell, Column, DataTable, interval_columns
from studies.report.source import ReportSource
from studies.report.standings import Standings, collect_standings
from studies.statistics.seeds import SeedSummary, summarise

Grid = npt.NDArray[np.float64]
Metric = Literal["accuracy", "ece"]
METRICS: Final[tuple[Metric, ...]] = ("accuracy", "ece")
TITLES: Final[Mapping[Metric, str]] = {"accuracy": "accuracy, %", "ece": "ECE, %"}
MOST_PANELS: Final = 6  # methods drawn in one chart


@dataclass(frozen=True)
class CorruptedMethod:
    """One method in one condition.

    Attributes:
        method: name.
        n: networks, one a seed.
        grids: by metric, (corruptions, severities) means over seeds as fractions; NaN where it was not measured.
        means: by metric and corruption, the mean over severities, over seeds.
    """

    method: str
    n: int
    grids: Mapping[Metric, Grid]
    means: Mapping[Metric, Sequence[SeedSummary]]


@dataclass(frozen=True)
class CorruptionsInfo:
    """The heat maps, by condition.

    Attributes:
        standings: which networks.
        corruptions: rows.
        severities: columns.
        n_images: that were corrupted.
        conditions: the methods in their order.
    """

    standings: Standings
    corruptions: list[str]
    severities: list[int]
    n_images: int
    conditions: dict[str, list[CorruptedMethod]]

    @property
    def missing(self) -> str | None:
        """Without corrupted images, or without a finished training."""
        if self.conditions:
            return None
        if not self.standings.by_arm:
            return "No training has come to its end yet, so no corrupted image was looked at."
        return "No corrupted images were looked at: ask for them with evaluate.corruptions and confirm.corruptions."

    @property
    def caption(self) -> str:
        """Which networks and images."""
        where = "test" if self.standings.confirmed else "validation"
        several = any(member.n > 1 for members in self.conditions.values() for member in members)
        mean = (
            "mean over seeds; the table has 95 % intervals (Student's t, over seeds) of each corruption's mean" if several else "one seed"
        )
        lines = [
            self.standings.about,
            f"Each cell: {self.n_images} corrupted {where} images; {mean}. Brighter is better in both: more accurate, or a smaller ECE.",
        ]
        if any(len(members) > MOST_PANELS for members in self.conditions.values()):
            lines.append(f"Drawn are the first {MOST_PANELS} methods of the study; the table has all.")
        if len(self.conditions) > len(self.drawn):
            lines.append(f"A printed figure shows the conditions {' and '.join(self.drawn)}.")
        return "\n".join(lines)

    @property
    def drawn(self) -> list[str]:
        """The conditions that a figure of one page has room for: the first and the last."""
        return list(dict.fromkeys([*list(self.conditions)[:1], *list(self.conditions)[-1:]]))

    def limits(self, metric: Metric) -> tuple[float, float]:
        """The smallest and the largest fraction in any cell, for one scale of colours."""
        values = np.concatenate([member.grids[metric].ravel() for members in self.conditions.values() for member in members])
        return float(np.nanmin(values)), float(np.nanmax(values))

    def tables(self) -> list[DataTable]:
        """A row a condition, method and corruption: its mean with interval, and each severity."""
        columns = [
            Column("condition", "condition"),
            Column("method", "method"),
            Column("corruption", "corruption"),
            Column("n", "n", "whole"),
        ]
        for metric in METRICS:
            title = TITLES[metric]
            columns += interval_columns(metric, f"{title}: mean", "percent")
            columns += [Column(f"{metric}_severity_{severity}", f"{title}: severity {severity}", "percent") for severity in self.severities]
        rows = [
            self._row(condition, member, index)
            for condition, members in self.conditions.items()
            for member in members
            for index in range(len(self.corruptions))
        ]
        return [DataTable("corruptions", "Accuracy and ECE on corrupted images", columns, rows)]

    def _row(self, condition: str, member: CorruptedMethod, index: int) -> dict[str, Cell]:
        row: dict[str, Cell] = {"condition": condition, "method": member.method, "corruption": self.corruptions[index], "n": member.n}
        for metric in METRICS:
            mean = member.means[metric][index]
            row |= {metric: mean.mean, f"{metric}_low": mean.low, f"{metric}_high": mean.high}
            cells = zip(self.severities, member.grids[metric][index].tolist(), strict=True)
            row |= {f"{metric}_severity_{severity}": None if np.isnan(value) else value for severity, value in cells}
        return row


def collect_corruptions(source: ReportSource) -> CorruptionsInfo:
    """From table evaluations: of the trainings that stand for each method, every corruption and severity."""
    standings = collect_standings(source)
    trials = {row["trial_id"]: key for key, standing in standings.by_arm.items() for row in standing.trainings}
    table = source.tables.evaluations
    wanted = pc.and_(pc.equal(table["split"], standings.split), pc.equal(table["shift"], "corruption"))
    table = table.filter(pc.and_(wanted, pc.is_in(table["trial_id"], value_set=pa.array(list(trials), pa.string()))))
    names, severities = list(dict.fromkeys(table["name"].to_pylist())), sorted(set(table["severity"].to_pylist()))
    n_images = max(table["n"].to_pylist(), default=0)
    measured = set(table["trial_id"].to_pylist())
    grids = {metric: _grids(table, metric, names, severities) for metric in METRICS}  # (T, corruptions, severities), by trial
    conditions: dict[str, list[CorruptedMethod]] = {}
    for standing in standings.by_arm.values():
        members = [row["trial_id"] for row in standing.trainings if row["trial_id"] in measured]
        if members:
            seeds = {metric: np.stack([grids[metric][trial_id] for trial_id in members]) for metric in METRICS}
            conditions.setdefault(standing.condition, []).append(
                CorruptedMethod(
                    standing.method,
                    len(members),
                    {metric: values.mean(axis=0) for metric, values in seeds.items()},
                    {metric: [summarise(column) for column in values.mean(axis=2).T.tolist()] for metric, values in seeds.items()},
                )
            )
    return CorruptionsInfo(standings, names, severities, n_images, conditions)


def _grids(table: pa.Table, metric: Metric, names: Sequence[str], severities: Sequence[int]) -> dict[str, Grid]:
    """By trial, (corruptions, severities), NaN where nothing was measured."""
    trials = list(dict.fromkeys(table["trial_id"].to_pylist()))
    values = np.full((len(trials), len(names), len(severities)), np.nan)
    at = (_places(table["trial_id"], trials), _places(table["name"], names), _places(table["severity"], severities))
    values[at] = table[metric].to_numpy()
    return dict(zip(trials, values, strict=True))


def _places(column: pa.ChunkedArray, among: Sequence[str] | Sequence[int]) -> npt.NDArray[np.int64]:
    places = pc.index_in(column, value_set=pa.array(among, column.type))
    return np.asarray(places.to_numpy(), dtype=np.int64)
