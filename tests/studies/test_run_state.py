from __future__ import annotations

from collections.abc import Iterable

import pytest

from bsd_core.errors import DataError
from studies.ledger import Event
from studies.run_state import RunState
from studies.spec import StudySpec
from tests.studies._dummies import make_choice, make_confirmation, make_end, make_events, make_spec, make_suggest

TWO_EACH = [("cross_entropy/none", 0, 0.7, 0.2), ("cross_entropy/none", 1, 0.8, 0.1), ("bsd/none", 0, 0.9, 0.1), ("bsd/none", 1, 0.8, 0.05)]


def state_of(events: Iterable[Event], spec: StudySpec | None = None) -> RunState:
    state = RunState(spec or make_spec())
    for event in events:
        state.take(event)
    return state


def test_an_empty_ledger_is_the_beginning() -> None:
    state = state_of([])
    assert (float(state.n_trials), state.n_wanted, state.searched, state.complete) == (0, 4, False, False)
    assert state.seconds_left(2) is None


def test_a_search_is_over_when_every_arm_has_its_finished_trials() -> None:
    assert not state_of(make_events(*TWO_EACH[:3])).searched
    state = state_of(make_events(*TWO_EACH))
    assert (float(state.n_trials), state.searched, state.complete, state.without_result) == (4, True, True, [])


def test_it_is_not_while_a_trial_has_not_ended() -> None:
    events = make_events(*TWO_EACH)
    assert not state_of([*events, make_suggest("bsd/none", 2)]).searched
    assert state_of([*events, make_suggest("bsd/none", 2), make_end("bsd/none", 2, None)]).searched


def test_failed_trials_are_replaced_until_an_arm_gives_up() -> None:
    state = state_of(make_events(*TWO_EACH[:3], ("bsd/none", 1, None, 0.0)))
    assert (float(state.n_trials), state.n_failed, state.searched) == (3, 1, False)
    state = state_of(make_events(*TWO_EACH[:2], ("bsd/none", 0, None, 0.0), ("bsd/none", 1, None, 0.0)))
    assert (float(state.n_trials), state.complete, state.without_result) == (2, True, ["bsd/none"])


def test_with_early_stopping_epochs_count() -> None:
    spec = make_spec(methods=["bsd"], trials=2, epochs=4, stopping="pareto_halving")
    stopped = make_end("bsd/none", 0, None) | {"state": "stopped", "stopped_at": 1, "total_epochs": 4, "error": None}
    failed = make_end("bsd/none", 1, None) | {"epochs": 1, "total_epochs": 4}
    state = state_of([make_suggest("bsd/none", 0), stopped, make_suggest("bsd/none", 1), failed], spec)
    assert (float(state.n_trials), state.n_failed, state.searched) == (0.5, 1, False)
    state = state_of([make_suggest("bsd/none", 0), stopped, *make_events(("bsd/none", 2, 0.8, 0.1))], spec)
    assert (float(state.n_trials), state.searched) == (1.25, True)  # 0.75 is left, which pays for no training


def test_a_trial_that_ends_twice_counts_once_and_strangers_do_not() -> None:
    events = make_events(TWO_EACH[0])
    state = state_of([*events, events[-1], make_end("bsd/none", 7, 0.5), *make_events(("cs_kd/none", 0, 0.5, 0.1))])
    assert state.n_trials == 1


def test_the_confirm_phase_is_part_of_a_run() -> None:
    spec = make_spec(confirm={"seeds": 2})
    events = make_events(*TWO_EACH)
    state = state_of(events, spec)
    assert (state.searched, state.complete, state.to_confirm) == (True, False, None)
    events.append(make_choice({("bsd/none", 0): "best_accuracy", ("bsd/none", 1): "best_ece", ("cross_entropy/none", 1): "knee"}))
    state = state_of([*events, *make_confirmation("bsd/none", 0, 0, 0.9)], spec)
    assert state.to_confirm == {"cross_entropy/none": 2, "bsd/none": 4}
    assert (state.n_confirmed, state.complete) == (1, False)
    assert state.test_opened == "2025-01-02T03:04:05+00:00"
    trials = [("bsd/none", 0), ("bsd/none", 1), ("cross_entropy/none", 1)]
    events += [event for trial in trials for seed in (0, 1) for event in make_confirmation(*trial, seed, None if trial[1] == 1 else 0.9)]
    state = state_of(events, spec)
    assert (state.n_confirmed, state.complete, state.without_result) == (6, True, ["cross_entropy/none"])


def test_where_no_trial_finished_there_is_nothing_to_confirm() -> None:
    failed = [(arm, number, None, 0.0) for arm in ("cross_entropy/none", "bsd/none") for number in (0, 1)]
    assert state_of(make_events(*failed), make_spec(confirm={"seeds": 2})).complete


def test_the_time_left_is_that_of_the_missing_trials_over_the_slots() -> None:
    # A finished trial takes 1.5 s of training and 0.5 s of evaluation; 3 of 4 trials are missing.
    state = state_of(make_events(TWO_EACH[0]))
    assert state.seconds_left(1) == pytest.approx(3 * 2.0)
    assert state.seconds_left(3) == pytest.approx(2.0)
    # Arms differ: bsd's trials take 7 s and one is missing, cross_entropy's is missing at 2 s.
    slow = make_end("bsd/none", 0, 0.9) | {"train_seconds": 6.5}
    state = state_of([*make_events(TWO_EACH[0]), make_suggest("bsd/none", 0), slow])
    assert state.seconds_left(1) == pytest.approx(2.0 + 7.0)


def test_no_more_slots_help_than_there_are_trainings_to_confirm() -> None:
    events = [*make_events(*TWO_EACH), make_choice({("bsd/none", 0): "knee"}), *make_confirmation("bsd/none", 0, 0, 0.9)]
    assert state_of(events, make_spec(confirm={"seeds": 3})).seconds_left(32) == pytest.approx(2.0)


def test_a_finished_trial_without_its_objectives_is_an_error() -> None:
    end = make_end("bsd/none", 0, 0.9)
    del end["metrics"]["val_ece"]
    with pytest.raises(DataError, match="bsd-none-0000 has no val_ece"):
        state_of([make_suggest("bsd/none", 0), end])
