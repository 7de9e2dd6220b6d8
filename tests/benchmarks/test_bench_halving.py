from __future__ import annotations

from typing import Any

import pytest

from studies.outcome import Outcome
from studies.rungs import Rungs
from tests.benchmarks.bench_halving import Pool, RandomOrder, Suggested, Training, load_pools, replay


def training(accuracy: float, ece: float, *, nll: float, epochs: int = 4, **params: float) -> Training:
    """Of four epochs, or one that diverged before."""
    row: dict[str, Any] = {"epochs": 4, "val_accuracy": accuracy, "val_ece": ece, "val_nll": nll}
    settings = {"learning_rate": 0.1, "weight_decay": 5e-4, **params}
    return Training(settings, [row | {"epoch": epoch} for epoch in range(1, epochs + 1)], 4)


# Seen from (0.5, 0.5): 0.1 x 0.1, then 0.2 x 0.2, then 0.4 x 0.4, which is all there is.
BETTER_AND_BETTER = [training(0.6, 0.4, nll=1.0), training(0.7, 0.3, nll=0.9), training(0.9, 0.1, nll=0.8)]


class InTurn(RandomOrder):
    """As they stand in the pool."""

    def __init__(self, pool: Pool) -> None:
        self._order = iter(range(len(pool.trainings)))


def play(trainings: list[Training], rungs: Rungs | None = None) -> Any:
    pool = Pool("cross_entropy/symmetric_40", trainings, (0.5, 0.5))
    return replay(pool, InTurn(pool), rungs)


def test_without_stopping_every_training_costs_its_epochs() -> None:
    result = play(BETTER_AND_BETTER)
    assert (result.found_after, result.share_at_budget, result.lost) == (3.0, 1.0, 0.0)


def test_a_training_that_diverged_costs_what_it_ran_and_finds_nothing() -> None:
    assert play([training(0.9, 0.1, nll=0.1, epochs=2), *BETTER_AND_BETTER]).found_after == 3.5


def test_a_stopped_training_costs_its_epochs_up_to_the_rung() -> None:
    worse = training(0.4, 0.6, nll=2.0)  # third to arrive and last of three
    assert play([*BETTER_AND_BETTER[:2], worse, BETTER_AND_BETTER[2]], Rungs(first=1)).found_after == pytest.approx(2 + 1 / 4 + 1)


def test_a_member_of_the_front_that_is_stopped_is_lost() -> None:
    late = training(0.95, 0.2, nll=3.0)  # the most accurate in the end, but its NLL is the largest and its error is not the least
    late.rows[0]["val_accuracy"] = 0.1
    result = play([*BETTER_AND_BETTER, late], Rungs(first=1))
    assert result.lost == 1 / 2


@pytest.mark.parametrize("order", [RandomOrder, Suggested])
def test_published_settings_come_first_and_nothing_twice(order: type[RandomOrder | Suggested]) -> None:
    pool = next(pool for pool in load_pools() if pool.arm == "cs_kd/symmetric_40")
    pool = Pool(pool.arm, pool.trainings[:12], pool.corner)
    search = order(pool, 3)
    handed_out = []
    for _ in pool.trainings:
        handed_out.append(search.next())
        search.tell(handed_out[-1], Outcome(values=pool.trainings[handed_out[-1]].values))
    assert handed_out[:2] == [0, 1]
    assert sorted(handed_out) == list(range(12))


def test_the_recorded_trainings_are_whole() -> None:
    pools = load_pools()
    assert [pool.arm for pool in pools] == ["bsd/symmetric_40", "cross_entropy/symmetric_40", "cs_kd/symmetric_40"]
    for pool in pools:
        assert {len(recorded.rows) for recorded in pool.trainings} == {27}
        assert len(pool.trainings) == 150
