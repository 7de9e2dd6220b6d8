"""Methods against each other: equal roles in one condition, on equal fresh seeds, wrong labels and test images."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from studies.predictions import Prediction, read_predictions
from studies.robustness import BASE_METHOD
from studies.statistics.confirmed import ConfirmedPoint
from studies.statistics.improvement import Improvement, probability_of_improvement
from studies.statistics.multiple import holm
from studies.statistics.paired import Comparison, Verdict, compare, compare_means, verdict
from studies.statistics.resampling import Float64, Replicates, ResampledMetrics, Resampler

COMPARED_ROLES: Final = ("best_accuracy", "knee", "best_ece")
LEVEL: Final = 0.05

_BLOCK = 2**22  # logits held as float64 at once: 32 MiB


class Metric(NamedTuple):
    """A column of table `trials` that methods are compared in, and its direction."""

    column: str
    higher_is_better: bool


METRICS: Final = (
    Metric("test_accuracy", True),
    Metric("test_ece", False),
    Metric("test_nll", False),
    Metric("test_ece_temperature_scaled", False),
    Metric("test_corrupted_accuracy", True),
    Metric("test_corrupted_ece", False),
)


@dataclass(frozen=True, kw_only=True)
class MethodComparison:
    """One metric of two methods' points of one role, in one condition.

    Attributes:
        role: of `COMPARED_ROLES`.
        condition: of both.
        metric: column of table `trials`.
        method, trial_id: what is judged, and the search trial that was confirmed.
        other, other_trial_id: what it is judged against.
        over: what the interval speaks of: fresh seeds and other images, or fresh seeds alone where no predictions were kept, or where the
            metric is not an accuracy or ECE of clean images.
        comparison: method minus other.
        holm_p: the p-value, corrected for all pairs and conditions with this metric and role.
        verdict: of the method.
        improvement: chance that a training of the method beats one of the other.
    """

    role: str
    condition: str
    metric: str
    method: str
    trial_id: str
    other: str
    other_trial_id: str
    over: Literal["seeds and images", "seeds"]
    comparison: Comparison
    holm_p: float | None
    verdict: Verdict
    improvement: Improvement


class StoredPredictions:
    """Clean test predictions of confirmed points, resampled alike for all of them; each point is read once.

    Args:
        folder: tables/predictions of a run; it need not exist.
        seed: of the resamples.
    """

    def __init__(self, folder: Path, *, seed: int) -> None:
        self._folder, self._seed = folder, seed
        self._first: Prediction | None = None
        self._resampler: Resampler | None = None
        self._known: dict[str, ResampledMetrics | None] = {}

    def resampled(self, point: ConfirmedPoint) -> ResampledMetrics | None:
        """Accuracy and ECE of a point's finished trainings, or None where one kept no predictions, or of other images.

        Raises:
            DataError: a file is broken.
        """
        if point.trial_id not in self._known:
            self._known[point.trial_id] = self._resample(point)
        return self._known[point.trial_id]

    def _resample(self, point: ConfirmedPoint) -> ResampledMetrics | None:
        found = [self._read(row["trial_id"]) for row in point.finished]
        kept = [prediction for prediction in found if prediction is not None]
        if not kept or len(kept) < len(found) or len(kept[0].rows) < 2:
            return None
        self._first = first = self._first or kept[0]
        if not all(np.array_equal(first.rows, other.rows) and np.array_equal(first.targets, other.targets) for other in kept):
            return None
        self._resampler = self._resampler or Resampler(len(first.rows), seed=self._seed)
        confidence = np.stack([top_confidence(prediction.logits) for prediction in kept])
        hit = np.stack([prediction.logits.argmax(axis=1) == prediction.targets for prediction in kept])
        return self._resampler.apply(Replicates(confidence, hit, tuple(row["replicate"] for row in point.finished)))

    def _read(self, trial_id: str) -> Prediction | None:
        path = self._folder / f"{trial_id}.parquet"
        if not path.is_file():
            return None
        clean = [prediction for prediction in read_predictions(path) if (prediction.split, prediction.shift) == ("test", "clean")]
        return clean[0] if clean else None


def top_confidence(logits: Any) -> Float64:
    """(N,) softmax probability of the predicted class, from (N, K) logits of any precision."""
    n, n_classes = logits.shape
    rows = max(1, _BLOCK // n_classes)
    blocks = [np.asarray(logits[start : start + rows], dtype=np.float64) for start in range(0, n, rows)]
    return np.concatenate([1 / np.exp(block - block.max(axis=1, keepdims=True)).sum(axis=1) for block in blocks])


def compare_methods(points: Iterable[ConfirmedPoint], predictions: StoredPredictions) -> list[MethodComparison]:
    """All pairs of methods in each condition, for each role that all of its confirmed methods have a point for.

    Methods stand in the order of the points, plain training first: the later one of a pair is judged against the earlier. Replicates in
    which one of the two failed are left out of both. A metric that no training has is left out.
    """
    points = list(points)
    measured = [
        metric for metric in METRICS if any(value is not None for point in points for value in point.values(metric.column).values())
    ]
    found: list[MethodComparison] = []
    for role, metric in itertools.product(COMPARED_ROLES, measured):
        family = [
            _compare(role, metric, a, b, predictions)
            for members in by_role(points, role).values()
            for b, a in itertools.combinations(members, 2)
        ]
        adjusted = holm([pair.comparison.p_value for pair in family])
        found += [
            replace(pair, holm_p=p, verdict=verdict(pair.comparison, p, higher_is_better=metric.higher_is_better, level=LEVEL))
            for pair, p in zip(family, adjusted, strict=True)
        ]
    return found


def by_role(points: Iterable[ConfirmedPoint], role: str) -> dict[str, list[ConfirmedPoint]]:
    """By condition, the points that hold a role, one for each method, plain training first; only conditions where every method has one."""
    conditions: dict[str, list[ConfirmedPoint]] = {}
    for point in points:
        conditions.setdefault(point.condition, []).append(point)
    held: dict[str, list[ConfirmedPoint]] = {}
    for condition, members in conditions.items():
        holders = {point.method: point for point in members if role in point.roles}
        if len(holders) == len({point.method for point in members}):
            held[condition] = sorted(holders.values(), key=lambda point: point.method != BASE_METHOD)
    return held


def _compare(role: str, metric: Metric, a: ConfirmedPoint, b: ConfirmedPoint, predictions: StoredPredictions) -> MethodComparison:
    values_a, values_b = a.values(metric.column), b.values(metric.column)
    by_images = _by_images(metric, a, b, predictions)
    if by_images is None:
        shared = [replicate for replicate in values_a if replicate in values_b]
        by_seeds = compare_means([values_a[replicate] for replicate in shared], [values_b[replicate] for replicate in shared])
    return MethodComparison(
        role=role,
        condition=a.condition,
        metric=metric.column,
        method=a.method,
        trial_id=a.trial_id,
        other=b.method,
        other_trial_id=b.trial_id,
        over="seeds" if by_images is None else "seeds and images",
        comparison=by_seeds if by_images is None else by_images,
        holm_p=None,
        verdict="not distinguishable",
        improvement=probability_of_improvement(list(values_a.values()), list(values_b.values()), higher_is_better=metric.higher_is_better),
    )


def _by_images(metric: Metric, a: ConfirmedPoint, b: ConfirmedPoint, predictions: StoredPredictions) -> Comparison | None:
    if metric.column not in ("test_accuracy", "test_ece"):
        return None
    found = [predictions.resampled(point) for point in (a, b)]
    resampled = [metrics.accuracy if metric.column == "test_accuracy" else metrics.ece for metrics in found if metrics is not None]
    return compare(*resampled) if len(resampled) == 2 else None


class Ranked(NamedTuple):
    """A method's place in a ranking.

    Attributes:
        method, trial_id: as in `MethodComparison`.
        mean: of the metric over its finished trainings; None, and then last, without one.
        tied_with_best: whether it is the best or not distinguishable from it; None without a mean.
    """

    method: str
    trial_id: str
    mean: float | None
    tied_with_best: bool | None


def rank_methods(
    points: Iterable[ConfirmedPoint], comparisons: Iterable[MethodComparison]
) -> dict[str, dict[str, dict[str, list[Ranked]]]]:
    """By role, condition and metric, the methods in the order of their means, and which of them the data cannot tell from the first."""
    points, comparisons = list(points), list(comparisons)
    told_apart = {
        (pair.role, pair.metric, *ends)
        for pair in comparisons
        if pair.verdict != "not distinguishable"
        for ends in itertools.permutations((pair.trial_id, pair.other_trial_id))
    }
    measured = {pair.metric for pair in comparisons}
    ranking: dict[str, dict[str, dict[str, list[Ranked]]]] = {}
    for role in COMPARED_ROLES:
        for condition, members in by_role(points, role).items():
            by_metric = ranking.setdefault(role, {}).setdefault(condition, {})
            for metric in (metric for metric in METRICS if metric.column in measured):
                means = [(point, _mean(point.values(metric.column).values())) for point in members]
                means.sort(key=lambda entry: _order(entry[1], metric))
                best = means[0][0].trial_id
                by_metric[metric.column] = [
                    Ranked(
                        point.method,
                        point.trial_id,
                        mean,
                        None if mean is None else (role, metric.column, point.trial_id, best) not in told_apart,
                    )
                    for point, mean in means
                ]
    return ranking


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _order(mean: float | None, metric: Metric) -> float:
    return np.inf if mean is None else -mean if metric.higher_is_better else mean
