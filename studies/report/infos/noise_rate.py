"""Accuracy and ECE against the share of wrong training labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from studies.report.data_table import Column, DataTable, interval_columns
from studies.report.source import ReportSource
from studies.report.standings import Standing, Standings, collect_standings
from studies.statistics.seeds import SeedSummary

_NO_NOISE: Final = "none"
_STEP: Final = 0.012  # between neighbours, of the largest rate


@dataclass(frozen=True)
class RatePoint:
    """One method in one condition.

    Attributes:
        condition, method: of its arm.
        kind: of the noise; none without.
        rate: share of training labels that are wrong, as a fraction; of the condition, so the same for all its methods.
        accuracy, ece: over the seeds.
    """

    condition: str
    method: str
    kind: str
    rate: float
    accuracy: SeedSummary
    ece: SeedSummary


@dataclass(frozen=True)
class NoiseRateInfo:
    """The points.

    Attributes:
        standings: which trainings.
        points: in the order of the study.
    """

    standings: Standings
    points: list[RatePoint]

    @property
    def kinds(self) -> list[str]:
        """Kinds of noise, in the order of the study, without none."""
        return list(dict.fromkeys(point.kind for point in self.points if point.kind != _NO_NOISE))

    @property
    def methods(self) -> list[str]:
        """In the order of the study."""
        return list(dict.fromkeys(point.method for point in self.points))

    def line(self, kind: str, method: str) -> list[RatePoint]:
        """A method's points with one kind of noise, and without any, by rate."""
        return sorted((point for point in self.points if point.method == method and point.kind in (kind, _NO_NOISE)), key=lambda p: p.rate)

    def shift(self, method: str) -> float:
        """How far a method's points are drawn beside their rate, as a fraction, so that intervals at one rate do not cover each other."""
        middle = (len(self.methods) - 1) / 2
        return (self.methods.index(method) - middle) * _STEP * max(point.rate for point in self.points)

    @property
    def missing(self) -> str | None:
        """With fewer than two rates."""
        rates = {point.rate for point in self.points}
        if not rates:
            return "No training has come to its end yet."
        if len(rates) < 2:
            return "All trainings had the same share of wrong labels; a study with two or more, e.g. none and symmetric:0.4, shows a line."
        return None

    @property
    def caption(self) -> str:
        """Which trainings, and what a line joins."""
        lines = [
            self.standings.about,
            "Rate: the share of training labels that are wrong. Lines join conditions of one kind of noise, from none on; between the "
            "points nothing was measured. Methods are drawn a little beside each other.",
        ]
        if any(point.accuracy.low is not None for point in self.points):
            lines.append("Bars: 95 % interval (Student's t) of the mean over fresh seeds, on these images.")
        return "\n".join(lines)

    def tables(self) -> list[DataTable]:
        """A row a condition and method."""
        columns = [
            Column("condition", "condition"),
            Column("noise_kind", "kind of noise"),
            Column("noise_rate", "wrong labels, %", "percent"),
            Column("method", "method"),
            Column("n", "n", "whole"),
            *interval_columns("accuracy", "accuracy, %", "percent"),
            *interval_columns("ece", "ECE, %", "percent"),
        ]
        rows = [
            {
                "condition": point.condition,
                "noise_kind": point.kind,
                "noise_rate": point.rate,
                "method": point.method,
                "n": point.accuracy.n,
                "accuracy": point.accuracy.mean,
                "accuracy_low": point.accuracy.low,
                "accuracy_high": point.accuracy.high,
                "ece": point.ece.mean,
                "ece_low": point.ece.low,
                "ece_high": point.ece.high,
            }
            for point in self.points
        ]
        return [DataTable("noise_rate", "Accuracy and ECE by share of wrong labels", columns, rows)]


def collect_noise_rate(source: ReportSource) -> NoiseRateInfo:
    """From table trials."""
    standings = collect_standings(source)
    rates = {condition: _rate(standings.of(condition)) for condition in standings.conditions}
    found = (_point(standing, rates[standing.condition], standings.split) for standing in standings.by_arm.values())
    return NoiseRateInfo(standings, [point for point in found if point is not None])


def _rate(standings: Iterable[Standing]) -> float | None:
    """The mean over the seeds of one condition: where the kind leaves the share to chance, seeds differ, and methods share them."""
    trainings = (row for standing in standings for row in standing.trainings)
    by_seed = {row["replicate"]: row["noise_rate"] for row in trainings if row["noise_rate"] is not None}
    return fmean(by_seed.values()) if by_seed else None


def _point(standing: Standing, rate: float | None, split: str) -> RatePoint | None:
    """None where the share of wrong labels, or the accuracy, is not known."""
    accuracy, ece = standing.over_seeds(f"{split}_accuracy"), standing.over_seeds(f"{split}_ece")
    if rate is None or accuracy.mean is None:
        return None
    return RatePoint(standing.condition, standing.method, standing.trainings[0]["noise_kind"], rate, accuracy, ece)
