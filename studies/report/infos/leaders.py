"""Which method leads in a condition and metric, and which ones it is told apart from: the verdicts of a study in its shortest form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from studies.report.compared import SAME

Numbers = Mapping[str, Any]  # parts of the document


@dataclass(frozen=True)
class Lead:
    """The best mean of one metric in one condition.

    Attributes:
        condition: where.
        metric: column of table trials.
        method: with the best mean over fresh seeds.
        means: by method, of those that were measured.
        beaten: methods that it is told apart from, and better than.
        tied: methods that it is not told apart from, though that was tested.
        beaten_by: methods that are told apart from it and better: over the seeds that both finished, while means are over all seeds.
        untested: methods that it could not be tested against.
        p: the largest p-value, after Holm's correction, of those that are beaten; None without any.
        n_pairs, n_tested, n_told: pairs of methods in this condition, those that could be tested, those with a verdict that one is better.
    """

    condition: str
    metric: str
    method: str
    means: Mapping[str, float]
    beaten: tuple[str, ...]
    tied: tuple[str, ...]
    beaten_by: tuple[str, ...]
    untested: tuple[str, ...]
    p: float | None
    n_pairs: int
    n_tested: int
    n_told: int

    @property
    def clear(self) -> bool:
        """Whether it is told apart from at least one, and better."""
        return bool(self.beaten)

    @property
    def stands_out(self) -> bool:
        """Whether it is told apart from all others, and better."""
        return self.clear and not (self.tied or self.beaten_by or self.untested)


def leads(document: Numbers, role: str, metric: str, *, higher_is_better: bool) -> list[Lead]:
    """The lead of each condition that methods are compared in by one role.

    Args:
        document: of `collect_statistics`.
        role: which setting stands for a method.
        metric: column of table trials.
        higher_is_better: of the metric.
    """
    pairs = [pair for pair in document["comparisons"] if (pair["role"], pair["metric"]) == (role, metric)]
    found = []
    for condition in dict.fromkeys(pair["condition"] for pair in pairs):
        members = [pair for pair in pairs if pair["condition"] == condition]
        means = _means(document, condition, role, metric)
        if means:
            best = (max if higher_is_better else min)(means, key=means.__getitem__)
            found.append(_lead(members, metric, best, means))
    return found


def _means(document: Numbers, condition: str, role: str, metric: str) -> dict[str, float]:
    points = [point for point in document["confirmed"] if point["condition"] == condition and role in point["roles"]]
    means = {point["method"]: point["metrics"][metric]["mean"] for point in points}
    return {method: mean for method, mean in means.items() if mean is not None}


def _lead(pairs: list[Numbers], metric: str, best: str, means: Mapping[str, float]) -> Lead:
    """Of the pairs of one condition."""
    beaten: dict[str, float] = {}
    tied, beaten_by, untested = [], [], []
    for pair in pairs:
        if best not in (pair["method"], pair["other"]) or pair["verdict"] is None:
            continue
        other = pair["other"] if pair["method"] == best else pair["method"]
        if pair["p_value"] is None:
            untested.append(other)
        elif pair["verdict"] == SAME:
            tied.append(other)
        elif pair["verdict"] == ("better" if pair["method"] == best else "worse"):
            beaten[other] = pair["holm_p"]
        else:
            beaten_by.append(other)
    n_told = sum(pair["verdict"] in ("better", "worse") for pair in pairs)
    p = max(beaten.values(), default=None)
    n_tested = sum(pair["p_value"] is not None for pair in pairs)
    return Lead(
        condition=pairs[0]["condition"],
        metric=metric,
        method=best,
        means=means,
        beaten=tuple(beaten),
        tied=tuple(tied),
        beaten_by=tuple(beaten_by),
        untested=tuple(untested),
        p=p,
        n_pairs=len(pairs),
        n_tested=n_tested,
        n_told=n_told,
    )
