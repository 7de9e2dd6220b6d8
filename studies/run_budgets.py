"""Whether two runs gave the arms that both have as much: a difference between a search of two trials and one of 200 is one of budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from studies.budgets import confirm_reasons, search_reasons
from studies.spec import StudySpec

Row = Mapping[str, Any]  # of table trials


def unequal_budgets(rows_a: Sequence[Row], spec_a: StudySpec, rows_b: Sequence[Row], spec_b: StudySpec, arms: Sequence[str]) -> list[str]:
    """Why the arms of two runs are not to be judged against each other, a sentence each; empty where they are.

    The rules are those between the arms of one study. That the runs confirmed with different numbers of seeds is no reason: fresh seeds
    choose nothing, and the interval of a difference knows how many there were.

    Args:
        rows_a, rows_b: of table trials.
        spec_a, spec_b: their studies.
        arms: that were confirmed in both.
    """
    if spec_a.budget != spec_b.budget:
        return [f"budgets are of {spec_a.budget} in A, of {spec_b.budget} in B"]
    of_a, of_b = _by_arm(rows_a, arms), _by_arm(rows_b, arms)
    # Where either run stopped trials early, all that was spent counts.
    spec = spec_a if spec_a.stopping.rungs is not None else spec_b
    by_reason: dict[str, list[str]] = {}
    for arm in arms:
        searches = {side: [row for row in rows[arm] if row["phase"] == "search"] for side, rows in (("A", of_a), ("B", of_b))}
        for reason in search_reasons(searches, spec):
            by_reason.setdefault(reason, []).append(arm)
    reasons = [f"{reason} ({', '.join(names)})" for reason, names in by_reason.items()]
    for side, rows, own in (("A", of_a, spec_a), ("B", of_b, spec_b)):
        reasons += [f"{side}: {reason}" for reason in confirm_reasons(rows, own)]
    return reasons


def _by_arm(rows: Sequence[Row], arms: Sequence[str]) -> dict[str, list[Row]]:
    return {arm: [row for row in rows if row["arm"] == arm] for arm in arms}
