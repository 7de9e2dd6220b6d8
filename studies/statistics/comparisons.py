"""Methods against each other: equal roles in one condition, on equal fresh seeds, wrong labels and test images."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import numpy as np

from studies.robustness import BASE_METHOD
from studies.statistics.confirmed import ConfirmedPoint
from studies.statistics.improvement import Improvement, probability_of_improvement
from studies.statistics.multiple import holm
from studies.statistics.paired import Comparison, SeedVariance, Verdict, compare, compare_means, pooled_seed_variance, verdict
from studies.statistics.stored import StoredPredictions

COMPARED_ROLES: Final = ("best_accuracy", "best_ece", "knee")
LEVEL: Final = 0.05


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
        over: what interval and verdict speak of: fresh seeds and other images, or fresh seeds on these images alone, where no predictions
            were kept, or where the metric does not follow from those of clean images.
        comparison: method minus other, over the trainings that both finished.
        holm_p: the p-value, corrected for all pairs and conditions with this metric and role.
        verdict: of the method; None where it is not to be judged.
        improvement: chance that a training of the method beats one of the other, failed ones included.
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
    verdict: Verdict | None
    improvement: Improvement


def compare_methods(points: Iterable[ConfirmedPoint], predictions: StoredPredictions, *, judged: bool = True) -> list[MethodComparison]:
    """All pairs of methods in each condition, for each role that all of its confirmed methods have a point for.

    Methods stand in the order of the points, plain training first: the later one of a pair is judged against the earlier. Replicates in
    which one of the two failed are left out of both. A metric that no training has is left out.

    Args:
        points: of all compared arms.
        predictions: theirs.
        judged: whether there are verdicts; not where budgets are unequal.
    """
    points = list(points)
    measured = [
        metric for metric in METRICS if any(value is not None for point in points for value in point.values(metric.column).values())
    ]
    found: list[MethodComparison] = []
    for role, metric in itertools.product(COMPARED_ROLES, measured):
        family = [pair for members in by_role(points, role).values() for pair in _compare_all(role, metric, members, predictions)]
        adjusted = holm([pair.comparison.p_value for pair in family])
        found += [
            replace(pair, holm_p=p, verdict=_verdict(pair, p, metric) if judged else None) for pair, p in zip(family, adjusted, strict=True)
        ]
    return found


def _verdict(pair: MethodComparison, holm_p: float | None, metric: Metric) -> Verdict:
    return verdict(pair.comparison, holm_p, higher_is_better=metric.higher_is_better, level=LEVEL)


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


def _compare_all(role: str, metric: Metric, members: Sequence[ConfirmedPoint], predictions: StoredPredictions) -> list[MethodComparison]:
    """All pairs of one condition."""
    seeds = pooled_seed_variance([point.values(metric.column) for point in members])
    return [_compare(role, metric, a, b, predictions, seeds) for b, a in itertools.combinations(members, 2)]


def _compare(
    role: str, metric: Metric, a: ConfirmedPoint, b: ConfirmedPoint, predictions: StoredPredictions, seeds: SeedVariance | None
) -> MethodComparison:
    by_images = _by_images(metric, a, b, predictions, seeds)
    return MethodComparison(
        role=role,
        condition=a.condition,
        metric=metric.column,
        method=a.method,
        trial_id=a.trial_id,
        other=b.method,
        other_trial_id=b.trial_id,
        over="seeds" if by_images is None else "seeds and images",
        comparison=by_images or _by_seeds(metric, a, b),
        holm_p=None,
        verdict=None,
        improvement=probability_of_improvement(
            a.outcomes(metric.column), b.outcomes(metric.column), higher_is_better=metric.higher_is_better
        ),
    )


def _by_images(
    metric: Metric, a: ConfirmedPoint, b: ConfirmedPoint, predictions: StoredPredictions, seeds: SeedVariance | None
) -> Comparison | None:
    """None where the metric is not known by image."""
    name = metric.column.removeprefix("test_")
    resampled_a, resampled_b = (getattr(predictions.resampled(point), name, None) for point in (a, b))
    return None if resampled_a is None or resampled_b is None else compare(resampled_a, resampled_b, seeds=seeds)


def _by_seeds(metric: Metric, a: ConfirmedPoint, b: ConfirmedPoint) -> Comparison:
    values_a, values_b = a.values(metric.column), b.values(metric.column)
    shared = [replicate for replicate in values_a if replicate in values_b]
    return compare_means([values_a[replicate] for replicate in shared], [values_b[replicate] for replicate in shared])


def failed_trainings(points: Iterable[ConfirmedPoint]) -> list[str]:
    """Why compared settings cannot be ranked: those whose trainings did not all come to their end, by method and condition.

    The mean of the others would flatter a method that fails.
    """
    points = list(points)
    groups = [members for role in COMPARED_ROLES for members in by_role(points, role).values() if len(members) > 1]
    compared = {point.trial_id for members in groups for point in members}
    failing = [point for point in points if point.trial_id in compared and len(point.finished) < len(point.trainings)]
    reasons = (
        f"{point.method} finished {len(point.finished)} of {len(point.trainings)} trainings in condition {point.condition}"
        for point in failing
    )
    return list(dict.fromkeys(reasons))


class Ranked(NamedTuple):
    """A method's place in a ranking.

    Attributes:
        method, trial_id: as in `MethodComparison`.
        mean: of the metric over its trainings; None, and then last, where it was not measured.
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
        if pair.verdict in ("better", "worse")
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
