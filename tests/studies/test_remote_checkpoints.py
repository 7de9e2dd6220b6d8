from __future__ import annotations

from typing import Any

import pytest

from bsd_core.checkpoint import KEEP
from studies.remote_checkpoints import RemoteTrialCheckpoints
from studies.remote_folder import RemoteFolder
from studies.remote_uri import open_remote
from studies.trial_checkpoints import CheckpointPlan, TrialCheckpoints, checkpoints_of, remove_all_checkpoints, remove_checkpoints
from tests._dummies import make_recipe, make_trainer
from tests.studies._s3 import Store, Way


class Trial:
    """The checkpoints of one trial as a node has them, which keeps nothing of its own."""

    def __init__(self, place: RemoteFolder | str, name: str = "bsd-none-0000", seed: int = 0) -> None:
        self.said: list[str] = []
        self.trainer = make_trainer(make_recipe("bsd", seed=seed))
        self.folder = open_remote(str(place)) / name
        self.checkpoints = checkpoints_of(CheckpointPlan(place=str(place), seconds=0.0), name, tell=self.tell)

    def tell(self, text: str, *, of_run: bool = False) -> None:
        self.said.append(text)

    def save_after(self, *steps: int) -> None:
        def on_step() -> None:
            if self.trainer.step in steps:
                self.checkpoints.save(self.trainer, {"step": self.trainer.step})

        while self.trainer.step < max(steps):
            self.trainer.run_epoch(on_step)

    def load(self) -> dict[str, Any]:
        return self.checkpoints.load(self.trainer)

    @property
    def steps(self) -> list[int]:
        return sorted(int(name.removeprefix("step-").removesuffix(".pt")) for name in self.folder.files())


def test_the_place_says_where_checkpoints_lie(store: Store) -> None:
    assert isinstance(Trial(store.folder()).checkpoints, RemoteTrialCheckpoints)
    plan = CheckpointPlan(place="/folder", seconds=1.0)
    assert type(checkpoints_of(plan, "t", tell=Trial(store.folder()).tell)) is TrialCheckpoints


def test_a_trial_goes_on_on_another_node_and_the_newest_are_kept(store: Store) -> None:
    place = store.folder()
    first = Trial(place)
    assert first.load() == {}
    first.save_after(1, 2, 3)
    assert first.steps == [2, 3]
    assert len(first.steps) == KEEP
    second = Trial(place)
    assert second.load() == {"step": 3}
    assert second.trainer.step == 3
    assert second.said == ["it goes on from its checkpoint, in epoch 1 of 3"]
    assert first.said == []


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_a_broken_checkpoint_gives_way_to_the_one_before_it(store: Store, content: bytes | None) -> None:
    place = store.folder()
    first = Trial(place)
    first.save_after(2, 3)
    name = "step-0000000003.pt"
    whole = first.folder.get(name) or b""
    first.folder.put(name, content if content is not None else whole[: len(whole) // 2])
    second = Trial(place)
    assert second.load() == {"step": 2}
    assert second.said[0].startswith("a broken checkpoint was passed over: ")
    second.save_after(3, 4)
    assert second.steps == [3, 4]
    assert Trial(place).load() == {"step": 4}


def test_a_passed_over_checkpoint_is_removed_by_the_next(store: Store) -> None:
    place = store.folder()
    first = Trial(place)
    first.save_after(2, 4)
    first.folder.put("step-0000000004.pt", b"broken")
    second = Trial(place)
    second.load()
    second.save_after(3)
    assert second.steps == [2, 3]


def test_checkpoints_are_forgotten_by_the_trial_and_by_the_phase(store: Store) -> None:
    place = store.folder()
    trials = [Trial(place, name) for name in ("a-none-0000", "b-none-0000")]
    for trial in trials:
        trial.save_after(1)
    remove_checkpoints(str(place), "a-none-0000")  # the driver has no time for that
    assert trials[0].steps == [1]
    trials[0].checkpoints.forget()
    assert (trials[0].steps, trials[1].steps) == ([], [1])
    remove_all_checkpoints(str(place))
    assert place.files() == {}


def test_a_store_that_is_away_is_told_of_once_and_the_training_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studies.remote_checkpoints._PATIENCE_SECONDS", 0.5)
    way = Way(store.port)
    uri = store.uri("away", port=way.port)
    trial = Trial(uri)
    trial.save_after(1)
    way.cut()
    trial.save_after(5, 6)
    assert len(trial.said) == 1
    assert trial.said[0].startswith("no checkpoints: ")
    assert "s3://" in trial.said[0]
    begun = Trial(uri)
    assert begun.load() == {}
    assert begun.said[0].startswith("its checkpoint cannot be used (Cannot list 's3://")
    trial.checkpoints.forget()
    remove_all_checkpoints(uri)
    way.mend()
    assert trial.steps == [1]
    way.cut()
