from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from studies.pareto import non_dominated
from studies.statistics.audit import AuditSummary, audit_summary
from tests._dummies import PROPERTY


def trial(state: str, accuracy: float | None, ece: float | None, *, audited: bool | None = None, **changes: Any) -> dict[str, Any]:
    row = {"phase": "search", "arm": "bsd/none", "state": state, "audited": audited, "objectives": "val_accuracy, val_ece"}
    return {**row, "val_accuracy": accuracy, "val_ece": ece, "val_corrupted_accuracy": None, **changes}


FRONT = [trial("complete", 0.9, 0.2), trial("complete", 0.8, 0.1)]


def test_only_audited_trials_that_none_beats_count() -> None:
    rows = [
        *FRONT,
        trial("failed", None, None),
        trial("stopped", 0.1, 0.0, audited=False),  # the least ECE of all, at epoch 3: says nothing
        trial("stopped", 0.95, 0.3, audited=True),  # would have reached the front
        trial("stopped", 0.85, 0.25, audited=True),  # the first complete one beats it
    ]
    assert audit_summary(rows) == {"bsd/none": AuditSummary(n_stopped=3, n_audited=2, n_would_have_reached_front=1)}


def test_an_equal_of_a_front_member_would_have_reached_the_front() -> None:
    assert audit_summary([*FRONT, trial("stopped", 0.9, 0.2, audited=True)])["bsd/none"].n_would_have_reached_front == 1


def test_an_audited_trial_that_diverged_reached_nothing() -> None:
    assert audit_summary([*FRONT, trial("stopped", None, None, audited=True)])["bsd/none"] == AuditSummary(1, 1, 0)


def test_arms_are_judged_by_themselves_and_by_the_objectives_of_the_study() -> None:
    corrupted: dict[str, Any] = {"arm": "cs_kd/none", "objectives": "val_corrupted_accuracy, val_ece"}
    rows = [
        *FRONT,
        trial("complete", 0.9, 0.1, val_corrupted_accuracy=0.5, **corrupted),
        trial("stopped", 0.2, 0.1, audited=True, val_corrupted_accuracy=0.6, **corrupted),
    ]
    assert audit_summary(rows) == {"bsd/none": AuditSummary(0, 0, 0), "cs_kd/none": AuditSummary(1, 1, 1)}


def test_trials_of_the_confirm_phase_are_passed_over() -> None:
    rows = [trial("complete", 0.5, 0.5), trial("complete", 0.9, 0.1, phase="confirm"), trial("stopped", 0.6, 0.6, audited=True)]
    assert audit_summary(rows) == {"bsd/none": AuditSummary(1, 1, 1)}


VALUE = st.integers(0, 4).map(lambda number: number / 4)


@PROPERTY
@given(complete=st.lists(st.tuples(VALUE, VALUE), max_size=8), audited=st.tuples(VALUE, VALUE))
def test_agrees_with_the_front_that_the_trial_would_have_stood_on(
    complete: list[tuple[float, float]], audited: tuple[float, float]
) -> None:
    rows = [trial("complete", *values) for values in complete] + [trial("stopped", *audited, audited=True)]
    points = np.array([*complete, audited])
    assert audit_summary(rows)["bsd/none"].n_would_have_reached_front == non_dominated(points[:, 0], points[:, 1])[-1]
