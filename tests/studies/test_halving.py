from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.halving import GO_ON, Decision, ParetoHalving, n_better
from studies.ledger import Event
from studies.rungs import Rungs
from tests._dummies import PROPERTY
from tests.studies._dummies import make_epoch, make_epochs, make_suggest

STOP = Decision(stop=True, audited=False)
VALUE = st.integers(0, 5).map(lambda number: number / 5)  # few distinct values, so that ties and duplicates are common
POINTS = st.lists(st.tuples(VALUE, VALUE), min_size=1, max_size=12)


def halving(*, reduction: int = 3, first: int | None = 3, audit: float = 0.0, seed: int = 0) -> ParetoHalving:
    """With rungs at 3 and 9 of 27 epochs, unless said otherwise."""
    return ParetoHalving(Rungs(reduction, first), audit=audit, seed=seed)


def arrive(state: ParetoHalving, *points: tuple[float, float], epoch: int = 9, arm: str = "a") -> list[bool]:
    """Whether each of these trials, numbered from 0, goes on past its rung at `epoch` of 27."""
    return [not state.decide(arm, number, epoch=epoch, total=27, error=e, nll=v).stop for number, (e, v) in enumerate(points)]


# --- ranks


def dominates(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def ranks_by_peeling(points: list[tuple[float, float]]) -> list[int]:
    """The non-dominated rank by its definition: take the front away, count, repeat."""
    ranks: dict[int, int] = {}
    while len(ranks) < len(points):
        left = [index for index in range(len(points)) if index not in ranks]
        front = [index for index in left if not any(dominates(points[other], points[index]) for other in left)]
        ranks |= dict.fromkeys(front, max(ranks.values(), default=-1) + 1)
    return [ranks[index] for index in range(len(points))]


@PROPERTY
@given(points=POINTS)
def test_who_stands_on_a_lower_front_stands_before(points: list[tuple[float, float]]) -> None:
    ranks = ranks_by_peeling(points)
    for index, rank in enumerate(ranks):
        better = n_better(np.array(points), index)
        assert sum(other < rank for other in ranks) <= better < sum(other <= rank for other in ranks)


def test_one_that_dominates_all_has_nobody_before_it() -> None:
    # The sorted order of these four is (3, 0, 1, 2): read as ranks, it would put the newcomer last but one.
    assert n_better(np.array([(1, 1), (2, 2), (3, 3), (0, 0)], dtype=float), 3) == 0


def test_one_that_all_dominate_has_all_before_it() -> None:
    assert n_better(np.array([(1, 1), (2, 2), (0, 0), (3, 3)], dtype=float), 3) == 3


def test_on_one_front_the_extremes_stand_before_the_crowded() -> None:
    front = np.array([(0, 8), (1, 4), (2, 1), (4, 0)], dtype=float)
    assert [n_better(front, index) for index in range(4)] == [0, 2, 3, 0]


# --- decisions


def test_nobody_is_judged_before_there_are_as_many_as_the_reduction() -> None:
    assert arrive(halving(), (0.1, 0.1), (0.9, 0.9)) == [True, True]
    assert arrive(halving(reduction=2), (0.1, 0.1), (0.9, 0.9), epoch=12) == [True, False]


def test_one_of_three_goes_on() -> None:
    #                     two go on unjudged | 3rd of 3 | best of 4: among 2 | 3rd of 5, of which 2 go on | best of 6
    points = [(0.5, 0.5), (0.6, 0.6), (0.7, 0.7), (0.4, 0.4), (0.55, 0.55), (0.1, 0.1)]
    assert arrive(halving(), *points) == [True, True, False, True, False, True]


def test_trade_offs_go_on_and_the_crowded_stop() -> None:
    #          the ends of the front   | crowded     | a new end   | two ends stand before it, and two of five go on
    points = [(0.1, 0.9), (0.9, 0.1), (0.5, 0.5), (0.05, 1.0), (0.2, 0.2)]
    assert arrive(halving(), *points) == [True, True, False, True, False]


def test_equal_trials_all_go_on() -> None:
    assert arrive(halving(), *[(0.5, 0.5)] * 3) == [True, True, True]


def test_between_rungs_everyone_goes_on() -> None:
    state = halving()
    assert arrive(state, (0.1, 0.1), (0.1, 0.1), (0.1, 0.1), (0.9, 0.9), epoch=8) == [True] * 4
    assert arrive(state, (0.1, 0.1), (0.1, 0.1), (0.1, 0.1), (0.9, 0.9), epoch=9) == [True, True, True, False]


def test_each_rung_and_each_arm_has_its_own_ranking() -> None:
    state = halving()
    good, bad = [(0.1, 0.1), (0.2, 0.2), (0.3, 0.3)], [(0.6, 0.6), (0.7, 0.7), (0.5, 0.5)]
    assert arrive(state, *good, epoch=9) == [True, True, False]
    assert arrive(state, *bad, epoch=9, arm="b") == [True, True, True]
    others = halving()
    assert arrive(others, *bad, epoch=3) == [True, True, True]
    assert arrive(others, *good, epoch=9) == [True, True, False]


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_what_is_not_finite_stops_and_takes_no_place(broken: float) -> None:
    state = halving()
    assert arrive(state, (0.5, broken), (0.9, 0.9), (0.9, 0.9)) == [False, True, True]  # the third is the second to be ranked


def test_trainings_of_other_lengths_meet_at_the_same_share() -> None:
    state = halving(first=None)
    for number in range(3):
        assert state.decide("a", number, epoch=12, total=27, error=0.1, nll=0.1) == GO_ON
    assert state.decide("a", 3, epoch=9, total=20, error=0.9, nll=0.9) == STOP


def test_a_question_asked_again_gets_the_same_answer_and_ranks_nobody_twice() -> None:
    state = halving()
    points = [(0.5, 0.5), (0.6, 0.6), (0.7, 0.7)]
    assert arrive(state, *points) == [True, True, False]
    assert arrive(state, (0.9, 0.9), (0.9, 0.9), (0.0, 0.0)) == [True, True, False]  # as when a trial runs again after a crash
    assert state.decide("a", 3, epoch=9, total=27, error=0.55, nll=0.55) == GO_ON  # second of four


# --- audit


def test_a_share_of_the_stopped_is_audited_by_seed_arm_and_number_alone() -> None:
    state = halving(audit=0.1)
    arrive(state, (0.1, 0.1), (0.1, 0.1))
    answers = [state.decide("a", number, epoch=9, total=27, error=0.5, nll=0.5 + number) for number in range(2, 1002)]
    audited = [number for number, answer in enumerate(answers, start=2) if answer.audited]
    assert all(answer.stop for answer in answers[3:])
    assert 70 <= len(audited) <= 130  # 100 expected, standard deviation 9.5
    again = halving(audit=0.1)
    arrive(again, (0.2, 0.2), (0.2, 0.2), epoch=3)
    late = [number for number in range(2, 1002) if again.decide("a", number, epoch=3, total=27, error=1.0, nll=1.0 + number).audited]
    assert late == audited
    assert [again.audit, halving(audit=1.0)._fallen("a", 0).audited, halving(audit=0.0)._fallen("a", 0).audited] == [0.1, True, False]


def test_an_audited_trial_decides_nothing_any_more() -> None:
    state = halving(audit=1.0)
    assert arrive(state, (0.5, 0.5), (0.5, 0.5), (0.6, 0.6), epoch=3) == [True, True, False]
    assert state.decide("a", 2, epoch=9, total=27, error=0.0, nll=0.0) == GO_ON
    assert state.stopped_at("a", 2) == 3
    # The rung at 9 holds nobody yet, so the next two pass unjudged although the audited trial was better there.
    assert arrive(state, (0.5, 0.5), (0.5, 0.5)) == [True, True]
    assert state.stopped_at("a", 0) is None


# --- replay


def ledger(rows: list[tuple[int, dict[str, float]]]) -> list[Event]:
    """A trial of the confirm phase trains, too."""
    suggests = [make_suggest("a", number) for number in range(8)] + [make_suggest("b", 0, phase="confirm")]
    return suggests + [make_epochs("a", number, row) for number, row in rows] + [make_epochs("b", 0, make_epoch(1, epochs=9))]


@PROPERTY
@given(
    arrivals=st.lists(st.tuples(st.integers(0, 7), VALUE, st.sampled_from([0.1, 0.5, 1.0, math.nan])), max_size=40),
    cut=st.integers(0, 40),
    seed=st.integers(0, 5),
)
def test_a_state_that_is_rebuilt_goes_on_as_the_undisturbed_one(arrivals: list[tuple[int, float, float]], cut: int, seed: int) -> None:
    def rows() -> list[tuple[int, dict[str, float]]]:
        epochs: dict[int, int] = {}
        made = []
        for number, accuracy, nll in arrivals:
            epochs[number] = epochs.get(number, 0) + 1
            made.append((number, {"epoch": epochs[number], "epochs": 9, "val_accuracy": accuracy, "val_nll": nll}))
        return made

    undisturbed = halving(first=2, audit=0.5, seed=seed)
    expected = [undisturbed.judge("a", number, row) for number, row in rows()]
    rebuilt = halving(first=2, audit=0.5, seed=seed)
    rebuilt.replay(ledger(rows()[:cut]))
    assert [rebuilt.judge("a", number, row) for number, row in rows()[cut:]] == expected[cut:]
    assert rebuilt == undisturbed
