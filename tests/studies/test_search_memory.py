"""Long searches cost no more a suggestion than those of some hundred trials, and short ones suggest what they always did."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from studies import search_memory
from studies.outcome import Outcome
from studies.search import ArmSearch, Suggestion
from studies.search_memory import NEWEST, OLDER, SearchMemory, forgotten
from tests.studies._dummies import make_spec, objectives


def make_trials(values: Sequence[tuple[float, float] | None], state: TrialState = TrialState.FAIL) -> list[FrozenTrial]:
    """As Optuna numbers them; without values, of `state`."""
    trials = []
    for number, pair in enumerate(values):
        trials.append(create_trial(state=TrialState.COMPLETE if pair else state, values=list(pair) if pair else None))
        trials[-1].number = number
    return trials


def test_nothing_is_forgotten_while_few_trials_are_all() -> None:
    assert forgotten(make_trials([(0.5, 0.5)] * NEWEST)) == set()
    assert forgotten(make_trials([(0.5, 0.5)] * NEWEST + [None] * 7)) == set()


def test_beyond_that_the_oldest_are_forgotten_but_not_the_best() -> None:
    beaten, best, calibrated = (0.5, 0.5), (0.9, 0.3), (0.8, 0.1)
    values = [beaten, best, beaten, None, calibrated, *[beaten] * NEWEST]
    assert forgotten(make_trials(values)) == {0, 2}
    assert forgotten(make_trials(values, TrialState.PRUNED)) == {0, 2, 3}


def test_no_more_than_some_of_the_best_are_kept_beside_the_newest() -> None:
    trials = make_trials([(0.5, 0.5)] * (NEWEST + 300))  # none beats another
    assert forgotten(trials) == set(range(300 - OLDER))


def test_all_trials_stopped_is_no_front() -> None:
    trials = make_trials([None] * (NEWEST + 2), TrialState.PRUNED)
    assert forgotten(trials) == {0, 1}


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A memory of 12 and 2 trials."""
    monkeypatch.setattr(search_memory, "NEWEST", 12)
    monkeypatch.setattr(search_memory, "OLDER", 2)


def make_arm() -> ArmSearch:
    spec = make_spec(methods=["bsd"], trials=40)
    return ArmSearch(spec.arms[0], spec)


def outcome(suggestion: Suggestion) -> Outcome:
    """Every seventh fails."""
    return Outcome(values=None if suggestion.number % 7 == 3 else objectives(suggestion))


def test_a_search_that_forgets_goes_on_from_its_ledger_as_if_nothing_had_happened(short: None) -> None:
    whole = make_arm()
    done: list[Suggestion] = []
    while whole.wants_more:
        done.append(whole.ask())
        whole.tell(done[-1].number, outcome(done[-1]))
    assert len(done) > 40
    for cut in (10, 15, 30):
        again = make_arm()
        for suggestion in done[:cut]:
            again.replay(suggestion.number, suggestion.params, outcome(suggestion))
        for suggestion in done[cut:]:
            assert again.ask() == suggestion
            again.tell(suggestion.number, outcome(suggestion))


def test_a_suggestion_is_made_from_what_is_remembered_and_trials_that_run_stay_in_sight(
    short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[FrozenTrial]] = []
    real = SearchMemory.get_all_trials

    def spy(self: SearchMemory, *arguments: Any, **named: Any) -> list[FrozenTrial]:
        trials = real(self, *arguments, **named)
        seen.append(trials)
        return trials

    arm, rng = make_arm(), random.Random(0)
    running = arm.ask()
    for _ in range(30):
        suggestion = arm.ask()
        arm.tell(suggestion.number, Outcome(values=(rng.random(), rng.random())))
    monkeypatch.setattr(SearchMemory, "get_all_trials", spy)
    newest = arm.ask()
    numbers = [{trial.number for trial in trials} for trials in seen]
    assert {len(some) for some in numbers if newest.number in some} == {12 + 2 + 2}
    assert all(running.number in some for some in numbers if newest.number in some)
    assert len(arm.study.trials) == 32  # nothing is lost
    assert isinstance(arm.study.sampler, optuna.samplers.TPESampler)


def test_arms_of_a_thousand_trials_and_fewer_suggest_what_a_plain_study_of_optuna_suggests() -> None:
    """The memory changes nothing there."""
    arm, plain = make_arm(), make_arm()
    plain.study = optuna.create_study(study_name=plain.arm.name, directions=["maximize", "minimize"])
    for _ in range(25):
        ours, theirs = arm.ask(), plain.ask()
        assert ours == theirs
        arm.tell(ours.number, outcome(ours))
        plain.tell(theirs.number, outcome(theirs))
