"""What reports are made from, of small made-up runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from studies.ledger import Event
from studies.report.source import ReportSource
from studies.spec import StudySpec
from studies.statistics.document import collect_statistics
from studies.tables import build_tables
from tests.studies._dummies import CONSTANTS, make_choice, make_confirmation, make_events

NOWHERE = Path("/nonexistent")
Confirmed = Mapping[
    tuple[str, int], tuple[str, Sequence[tuple[float | None, float]]]
]  # by arm and number: roles, and (accuracy, ECE) by seed
Trial = tuple[str, int, float | None, float]  # arm, number, accuracy or None if it failed, ECE


def make_source(events: Sequence[Event], spec: StudySpec, **constants: str) -> ReportSource:
    """The source of a ledger; no predictions are kept."""
    constants = {**CONSTANTS, "objectives": ", ".join(spec.targets), "validation_labels": spec.validation_labels, **constants}
    tables = build_tables(events, constants)
    document = collect_statistics(tables, spec, NOWHERE)
    return ReportSource(constants["study"], constants["run_id"], spec, tables, document, {}, NOWHERE, NOWHERE)


def confirmed_source(
    trials: Sequence[Trial],
    chosen: Confirmed,
    spec: StudySpec,
) -> ReportSource:
    """The source of a run whose confirm phase has ended.

    Args:
        trials: of the search.
        chosen: by arm and number, its roles and the test accuracy (None if the training failed) and ECE by seed.
        spec: the study.
    """
    events = make_events(*trials)
    events.append(make_choice({trial: roles for trial, (roles, _) in chosen.items()}))
    for (arm, number), (_, values) in chosen.items():
        for replicate, (accuracy, ece) in enumerate(values):
            events += make_confirmation(arm, number, replicate, accuracy, ece)
    return make_source(events, spec)
