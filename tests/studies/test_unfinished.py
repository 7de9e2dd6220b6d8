from __future__ import annotations

from typing import Any

import pytest

from studies.unfinished import MAX_DEATHS, Unfinished
from tests.studies._dummies import make_end, make_epoch, make_epochs

ARM, TRIAL = "bsd/none", "bsd-none-0000"


def row(epoch: int, *, images: int = 100) -> dict[str, Any]:
    return make_epoch(epoch, epochs=9, images_seen=images)


def after(*epochs: int) -> Unfinished:
    unfinished = Unfinished()
    for epoch in epochs:
        unfinished.add(TRIAL, row(epoch))
    return unfinished


def test_an_epoch_that_is_told_again_is_spent_once() -> None:
    unfinished = after(1, 2, 3, 2, 3, 4)
    assert unfinished.spent(TRIAL) == {"epochs": 4, "total_epochs": 9, "train_seconds": 4 * 0.25, "images_seen": 400}


def test_the_last_word_on_an_epoch_holds() -> None:
    unfinished = after(1, 2)
    unfinished.add(TRIAL, row(2, images=7))
    assert unfinished.spent(TRIAL)["images_seen"] == 107


@pytest.mark.parametrize("unfinished", [Unfinished(), after(1)])
def test_a_trial_that_told_nothing_spent_nothing(unfinished: Unfinished) -> None:
    assert unfinished.spent("another") == {"epochs": 0, "total_epochs": None, "train_seconds": 0.0, "images_seen": 0}


def test_deaths_without_progress_are_limited() -> None:
    unfinished = after(1, 2)
    assert [unfinished.died(TRIAL) for _ in range(MAX_DEATHS + 1)] == [True] * MAX_DEATHS + [False]
    assert unfinished.died("another")


def test_deaths_of_a_trial_that_gets_on_are_not() -> None:
    unfinished = Unfinished()
    for epoch in range(1, 20):
        assert all(unfinished.died(TRIAL) for _ in range(MAX_DEATHS))
        unfinished.add(TRIAL, row(epoch))


def test_an_epoch_that_is_told_again_is_no_progress() -> None:
    unfinished = after(1, 2)
    for _ in range(MAX_DEATHS):
        assert unfinished.died(TRIAL)
        unfinished.add(TRIAL, row(1))
        unfinished.add(TRIAL, row(2))
    assert not unfinished.died(TRIAL)


def test_a_trial_that_has_ended_is_forgotten() -> None:
    unfinished = after(1, 2)
    for _ in range(MAX_DEATHS):
        unfinished.died(TRIAL)
    unfinished.forget(TRIAL)
    assert unfinished.spent(TRIAL)["epochs"] == 0
    assert unfinished.died(TRIAL)


def test_an_earlier_process_is_taken_in_but_for_what_ended_there() -> None:
    unfinished = Unfinished()
    events = [
        make_epochs(ARM, 0, row(1), row(2)),
        make_epochs(ARM, 1, row(1)),
        make_epochs(ARM, 0, row(2), row(3)),
        make_end(ARM, 1, 0.9),
    ]
    unfinished.replay(events)
    assert unfinished.spent(TRIAL) == {"epochs": 3, "total_epochs": 9, "train_seconds": 0.75, "images_seen": 300}
    assert unfinished.spent("bsd-none-0001")["epochs"] == 0
