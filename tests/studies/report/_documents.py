"""Statistics documents of small made-up runs, for tests of how they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from studies.ledger import Event
from studies.spec import StudySpec
from studies.statistics.document import collect_statistics
from studies.tables import build_tables
from tests.studies._dummies import CONSTANTS, make_choice, make_confirmation, make_events, make_spec

METHODS = ("cross_entropy", "bsd", "cs_kd")
VALUES: dict[str, Sequence[float | None]] = {
    "cross_entropy": (0.700, 0.710, 0.720),
    "bsd": (0.800, 0.810, 0.825),
    "cs_kd": (0.700, 0.715, 0.720),
}


def make_statistics(
    values: Mapping[str, Sequence[float | None]] | None = None,
    *,
    conditions: Sequence[str] = ("none",),
    more: Sequence[Event] = (),
    **changes: Any,
) -> dict[str, Any]:
    """The document of a run in which each method's one setting is confirmed, with these accuracies by seed; its ECE is 0.1.

    Args:
        values: by method; by default bsd is better than the two others, which do not differ.
        conditions: all with the same values.
        more: events after those.
        changes: of the study.
    """
    values = VALUES if values is None else values
    seeds = max(map(len, values.values()))
    spec = make_spec(**{"methods": list(values), "conditions": list(conditions), "trials": 1, "confirm": {"seeds": seeds}, **changes})
    arms = [arm.name for arm in spec.compared_arms]
    events = make_events(*((arm, 0, 0.75, 0.1) for arm in arms))
    events.append(make_choice({(arm, 0): "best_accuracy, knee, best_ece" for arm in arms}))
    for arm in arms:
        for replicate, accuracy in enumerate(values[arm.partition("/")[0]]):
            events += make_confirmation(arm, 0, replicate, accuracy, 0.1 + 0.01 * replicate)
    return make_document([*events, *more], spec)


def make_document(events: Sequence[Event], spec: StudySpec) -> dict[str, Any]:
    """The document of a ledger; no predictions are kept."""
    return collect_statistics(build_tables(events, CONSTANTS), spec, Path("/nonexistent"))
