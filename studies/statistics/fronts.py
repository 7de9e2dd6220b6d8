"""How sure a front is, and how soon a search had it: attainment surfaces, hypervolume over seeds, hypervolume against cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import moocore
import numpy as np

from studies.charged import charged, charged_epochs
from studies.pareto import costs, hypervolume

Row = Mapping[str, Any]  # of table trials
Front = tuple[Sequence[float], Sequence[float]]  # accuracies and ECEs of the same points
Corner = tuple[float, float]  # (accuracy, ECE)


def fronts_of_seeds(confirm_rows: Iterable[Row], objectives: tuple[str, str]) -> list[Front]:
    """The confirmed points of one arm as one set for each replicate, by replicate.

    A training that failed adds no point, so its replicate has a smaller front; a replicate that failed altogether has an empty one.

    Args:
        confirm_rows: of one arm, phase confirm.
        objectives: columns of an accuracy and an ECE, e.g. `test_accuracy` and `test_ece`.
    """
    sets: dict[int, tuple[list[float], list[float]]] = {}
    for row in sorted(confirm_rows, key=lambda row: (row["replicate"], row["trial_id"])):
        points = sets.setdefault(row["replicate"], ([], []))
        if (point := _point(row, objectives)) is not None:
            for values, value in zip(points, point, strict=True):
                values.append(value)
    return list(sets.values())


def attainment(sets: Sequence[Front], percentiles: Sequence[int] = (25, 50, 75)) -> dict[int, list[Corner]]:
    """What at least 25, 50 and 75 % of the seeds reach: the quartiles of a front as a random set.

    A seed reaches (accuracy, ECE) if one of its points is at least as good in both. The 50 % surface is the median front; where
    the surfaces of two methods cross, neither is better everywhere. A seed without a finite point counts, and reaches nothing.

    Args:
        sets: S, one for each seed: accuracies, up, and ECEs, down, of the same points.
        percentiles: each p in (0, 100]; with S seeds, reached by ceil(p S / 100) of them.

    Returns:
        For each percentile the corners of its staircase as (accuracy, ECE), the most accurate first. What is reached lies at lower or equal
        accuracy and at higher or equal ECE than one of them. Empty where too few seeds reach anything.

    Raises:
        ValueError: shapes of a set differ, or a percentile out of range.

    References:
        Fonseca et al., EMO 2011, through moocore.
    """
    for percentile in percentiles:
        if not 0 < percentile <= 100:
            raise ValueError(f"`0 < percentile <= 100` must hold, but got {percentile=}.")
    points, owners = [], []
    for seed, (accuracy, ece) in enumerate(sets):
        found = costs(accuracy, ece)
        found = found[np.isfinite(found).all(axis=1)]
        points.append(found if len(found) else np.full((1, 2), np.inf))  # a point that is worse than all keeps the seed in the count
        owners += [seed] * len(points[-1])
    if not points:  # moocore divides by the number of sets
        return {percentile: [] for percentile in percentiles}
    surfaces = moocore.eaf(np.vstack(points), owners, percentiles=list(percentiles))
    return {
        percentile: [(0.0 - cost, ece) for cost, ece, of in surfaces.tolist() if of == percentile and np.isfinite(cost)]
        for percentile in percentiles
    }


def hypervolume_over_seeds(sets: Iterable[Front]) -> list[float]:
    """The area that each seed's points dominate, as seen from accuracy 0 and ECE 1; 0 for a seed without points."""
    return [hypervolume(accuracy, ece) for accuracy, ece in sets]


class AnytimePoint(NamedTuple):
    """Where the search of an arm stood when one of its trials had ended.

    Attributes:
        n_trials: that had ended, failed and stopped ones too.
        train_seconds, epochs: they trained together; of an audited trial what it had trained when it was stopped.
        hypervolume: of the finished ones, as seen from accuracy 0 and ECE 1.
    """

    n_trials: int
    train_seconds: float
    epochs: int
    hypervolume: float


def anytime_hypervolume(search_rows: Iterable[Row], objectives: tuple[str, str]) -> list[AnytimePoint]:
    """Hypervolume of one arm's search after each of its trials, against what they cost.

    Failed and stopped trials cost what they cost and add no point: their values are not those of a finished training. What an audited
    trial trained beyond its stop is not charged, as in the ledger of budgets; its seconds are divided in proportion to its epochs.

    Args:
        search_rows: of one arm, phase search, by trial number. That is the order they ended in where an arm runs one trial at a time;
            where it ran several, the curve may differ a little from what was seen.
        objectives: columns of an accuracy and an ECE of validation images.
    """
    points: list[AnytimePoint] = []
    accuracies: list[float] = []
    eces: list[float] = []
    seconds, epochs = 0.0, 0
    for n_trials, row in enumerate(search_rows, start=1):
        seconds += charged(row, "train_seconds")
        epochs += charged_epochs(row)
        if (point := _point(row, objectives)) is not None:
            accuracies.append(point[0])
            eces.append(point[1])
        points.append(AnytimePoint(n_trials, seconds, epochs, hypervolume(accuracies, eces)))
    return points


def _point(row: Row, objectives: tuple[str, str]) -> Corner | None:
    accuracy, ece = (row[name] for name in objectives)
    return None if row["state"] != "complete" or accuracy is None or ece is None else (accuracy, ece)
