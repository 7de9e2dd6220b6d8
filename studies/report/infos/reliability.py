"""Reliability diagrams: how often networks are right at each confidence, before and after temperature scaling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from studies.predictions import read_predictions
from studies.report.data_table import Column, DataTable, interval_columns
from studies.report.source import ReportSource
from studies.report.standings import Standing, Standings, collect_standings
from studies.statistics.reliability import N_BINS, Bin, bin_sums, pooled_bins
from studies.statistics.resampling import Float64
from studies.statistics.stored import judge_images

_WIDEST, _TALLEST = 5, 5  # diagrams on a printed page


@dataclass(frozen=True)
class Diagram:
    """One method in one condition.

    Attributes:
        method: name.
        n: networks, one a seed.
        before: bins that have images.
        after: after temperature scaling; None where not all networks have a temperature and stored predictions.
    """

    method: str
    n: int
    before: list[Bin]
    after: list[Bin] | None


@dataclass(frozen=True)
class ReliabilityInfo:
    """The diagrams, by condition.

    Attributes:
        standings: which networks.
        conditions: the diagrams in the order of the methods.
    """

    standings: Standings
    conditions: dict[str, list[Diagram]]

    @property
    def missing(self) -> str | None:
        """Without a finished training."""
        return None if self.conditions else "No training has come to its end yet, so there is no confidence to look at."

    @property
    def caption(self) -> str:
        """Which networks, what the intervals are, and whether scaling could be shown."""
        diagrams = [diagram for members in self.conditions.values() for diagram in members]
        lines = [
            self.standings.about,
            f"Points: accuracy against mean confidence of {N_BINS} equal bins of confidence, all seeds of a method together; on the dotted "
            "line a network is as sure as it is right, below it overconfident. Bars: share of the images in each bin, before scaling; "
            "points of more images are larger.",
        ]
        if any(diagram.n > 1 for diagram in diagrams):
            lines.append(
                "Intervals of several seeds: 95 %, by how the seeds differ (Student's t, of a ratio over seeds), on these images; not cut "
                "at 0 and 100 %, and none where one seed alone has images in a bin."
            )
        if any(diagram.n == 1 for diagram in diagrams):
            lines.append("Intervals of one seed: 95 %, by how many images a bin has (Wilson); nothing is said of other seeds.")
        scaled = [diagram.after is not None for diagram in diagrams]
        if not any(scaled):
            lines.append("Before temperature scaling only: test predictions that could be scaled are not stored.")
        else:
            lines.append(f"After: scaled by a temperature that was fitted on {self.standings.fitted_on}.")
            if not all(scaled):
                lines.append("Where it is left out, not all predictions or temperatures are stored.")
        if len(self.drawn) < len(self.conditions):
            lines.append(f"A printed figure shows {' and '.join(self.drawn)} of {len(self.conditions)} conditions.")
        return "\n".join(lines)

    @property
    def columns(self) -> int:
        """Diagrams in a row of a printed figure."""
        most = max(map(len, self.conditions.values()))
        return min(_WIDEST, most if most <= _WIDEST else math.ceil(most / 2))

    @property
    def drawn(self) -> list[str]:
        """The conditions that a printed page has room for: all, the first and the last, or the last."""
        names = list(self.conditions)
        for shown in (names, [names[0], names[-1]]):
            if sum(math.ceil(len(self.conditions[name]) / self.columns) for name in shown) <= _TALLEST:
                return shown
        return names[-1:]

    def tables(self) -> list[DataTable]:
        """A row a bin with images."""
        columns = [
            Column("condition", "condition"),
            Column("method", "method"),
            Column("scaling", "temperature scaling"),
            Column("bin", "bin", "whole"),
            Column("n_seeds", "n", "whole"),
            Column("share", "images, %", "percent"),
            Column("mean_confidence", "mean confidence, %", "percent"),
            *interval_columns("accuracy", "accuracy, %", "percent"),
        ]
        rows = [
            {
                "condition": condition,
                "method": diagram.method,
                "scaling": scaling,
                "bin": entry.number,
                "n_seeds": diagram.n,
                "share": entry.share,
                "mean_confidence": entry.confidence,
                "accuracy": entry.accuracy,
                "accuracy_low": entry.low,
                "accuracy_high": entry.high,
            }
            for condition, diagrams in self.conditions.items()
            for diagram in diagrams
            for scaling, bins in (("before", diagram.before), ("after", diagram.after or []))
            for entry in bins
        ]
        return [DataTable("reliability", "Accuracy by confidence, before and after temperature scaling", columns, rows)]


def collect_reliability(source: ReportSource) -> ReliabilityInfo:
    """From table reliability; what comes after scaling, from the stored predictions of the networks that are shown.

    Raises:
        DataError: a file of predictions is broken.
    """
    standings = collect_standings(source)
    stored = _stored_bins(source.tables.reliability, standings)
    conditions: dict[str, list[Diagram]] = {}
    for standing in standings.by_arm.values():
        found = [stored[row["trial_id"]] for row in standing.trainings if row["trial_id"] in stored]
        if found:
            after = _scaled_bins(source, standing) if standings.confirmed else None
            diagram = Diagram(standing.method, len(found), pooled_bins(np.stack(found)), None if after is None else pooled_bins(after))
            conditions.setdefault(standing.condition, []).append(diagram)
    return ReliabilityInfo(standings, conditions)


def _stored_bins(reliability: pa.Table, standings: Standings) -> dict[str, Float64]:
    """By trial, (3, 15): images, and their summed confidence and hits."""
    trials = pa.array([row["trial_id"] for standing in standings.by_arm.values() for row in standing.trainings], pa.string())
    clean = pc.and_(pc.equal(reliability["split"], standings.split), pc.equal(reliability["shift"], "clean"))
    rows = reliability.filter(pc.and_(clean, pc.is_in(reliability["trial_id"], value_set=trials)))
    found: dict[str, Float64] = {}
    names = ("trial_id", "bin", "count", "mean_confidence", "accuracy")
    for trial_id, number, count, confidence, accuracy in zip(*(rows[name].to_pylist() for name in names), strict=True):
        sums = found.setdefault(trial_id, np.zeros((3, N_BINS)))
        if count:
            sums[:, number] = count, count * confidence, count * accuracy
    return found


def _scaled_bins(source: ReportSource, standing: Standing) -> Float64 | None:
    """(S, 3, 15) as stored bins are, after temperature scaling; None where a network lacks a temperature or its predictions."""
    found = []
    for trial_id, temperature in standing.temperatures.items():
        path = source.path / "tables" / "predictions" / f"{trial_id}.parquet"
        clean = read_predictions(path, only=("test", "clean")) if temperature is not None and path.is_file() else []
        if temperature is None or not clean:
            return None
        judged = judge_images(clean[0].logits, clean[0].targets, temperature=temperature)
        found.append(bin_sums(judged.confidence, judged.hit))
    return np.stack(found) if found else None
