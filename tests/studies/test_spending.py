from __future__ import annotations

from fractions import Fraction

import pytest

from studies.outcome import Outcome
from studies.run_state import RunState
from studies.search import StudySearch
from studies.spending import Spending
from tests.studies._dummies import make_end, make_spec, make_suggest

FINISHED, FAILED, HALF = Outcome(values=(0.9, 0.1)), Outcome(values=None), Outcome(values=None, stopped=True, share=Fraction(1, 2))


def spent(wanted: int, *outcomes: Outcome, by_epochs: bool = False) -> Spending:
    budget = Spending(wanted, by_epochs)
    for outcome in outcomes:
        budget.count(outcome)
    return budget


def test_a_failed_trial_is_replaced_until_as_many_failed_as_are_wanted() -> None:
    assert spent(2, FINISHED, FAILED).begins_one_more()
    assert not spent(2, FINISHED, FINISHED, FAILED).begins_one_more()
    hopeless = spent(2, FAILED, FINISHED, FAILED)
    assert (hopeless.spent, hopeless.begins_one_more(), hopeless.gave_up()) == (Fraction(1), False, True)
    done = spent(2, FINISHED, FAILED, FINISHED, FAILED)
    assert (done.spent, done.begins_one_more(), done.gave_up()) == (Fraction(2), False, False)


def test_with_early_stopping_a_failed_trial_is_paid_for() -> None:
    failed = Outcome(values=None, share=Fraction(1, 4))
    budget = spent(3, failed, HALF, FINISHED, by_epochs=True)
    assert (budget.spent, budget.completed, budget.failed, budget.stopped) == (Fraction(7, 4), 1, 1, 1)
    assert budget.begins_one_more()
    budget.count(HALF)
    assert not budget.pays_one_more()  # 0.75 is left, which pays for no training


@pytest.mark.parametrize(("running", "more"), [(0, True), (1, True), (2, False)])
def test_a_running_trial_may_cost_a_whole_one(running: int, more: bool) -> None:
    assert spent(3, FINISHED).begins_one_more(running) == more


def test_the_search_and_a_reader_of_its_ledger_count_alike() -> None:
    spec = make_spec(methods=["bsd", "cross_entropy"], trials=3, epochs=4, stopping="pareto_halving")
    stopped = make_end("bsd/none", 0, None) | {"state": "stopped", "stopped_at": 1, "total_epochs": 4, "error": None}
    failed = make_end("bsd/none", 1, None) | {"epochs": 2, "total_epochs": 4}
    search, state = StudySearch(spec, slots=1), RunState(spec)
    params = {number: search.arms["bsd/none"].ask().params for number in (0, 1)}
    events = [make_suggest("bsd/none", 0) | {"params": params[0]}, stopped, make_suggest("bsd/none", 1) | {"params": params[1]}, failed]
    again = StudySearch(spec, slots=1)
    again.replay(events)
    for event in events:
        state.take(event)
    assert again.arms["bsd/none"].budget == state.arms["bsd/none"].budget == Spending(3, True, 0, 1, 1, Fraction(3, 4))
