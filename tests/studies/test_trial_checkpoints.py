from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from bsd_core.train import Trainer
from studies import trial_checkpoints as module
from studies.trial_checkpoints import CheckpointPlan, TrialCheckpoints, remove_all_checkpoints, remove_checkpoints
from tests._dummies import make_recipe, make_trainer

NEVER, ALWAYS = 1e9, 0.0
STEPS_PER_EPOCH = 4


class Trial:
    """The checkpoints of one trial, and what is said of them."""

    def __init__(self, place: Path, *, seconds: float = ALWAYS, name: str = "bsd-none-0000", seed: int = 0) -> None:
        self.said: list[tuple[str, bool]] = []
        self.saves = 0
        self.folder = place / name
        self.trainer: Trainer = make_trainer(make_recipe("bsd", seed=seed))
        plan = CheckpointPlan(place=str(place), seconds=seconds)
        self.checkpoints = TrialCheckpoints(plan, name, tell=self.tell, before_save=self.before_save)

    def tell(self, text: str, *, of_run: bool = False) -> None:
        self.said.append((text, of_run))

    def before_save(self) -> None:
        self.saves += 1

    def train(self, *steps: int) -> None:
        """To the end of the epoch in which the last of `steps` is, saving after each of them."""

        def on_step() -> None:
            if self.trainer.step in steps:
                self.checkpoints.save(self.trainer, {"spent": {"epochs": self.trainer.epoch}})

        while self.trainer.step < max(steps):
            self.trainer.run_epoch(on_step)

    def load(self) -> dict[str, Any]:
        return self.checkpoints.load(self.trainer)

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


def test_a_trial_without_checkpoints_begins_and_says_nothing(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    assert trial.load() == {}
    assert (trial.said, trial.trainer.step) == ([], 0)


def test_a_trial_goes_on_and_says_where(tmp_path: Path) -> None:
    Trial(tmp_path).train(3, 6)
    trial = Trial(tmp_path)
    assert trial.load() == {"spent": {"epochs": 1}}
    assert trial.said == [("it goes on from its checkpoint, in epoch 2 of 3", False)]
    assert trial.trainer.step == 6


def test_a_trial_that_was_trained_goes_on_with_its_evaluation(tmp_path: Path) -> None:
    first = Trial(tmp_path)
    first.train(3 * STEPS_PER_EPOCH)
    first.checkpoints.save(first.trainer, {})
    trial = Trial(tmp_path)
    trial.load()
    assert trial.said == [("it goes on from its checkpoint, with its evaluation", False)]
    assert list(trial.trainer.records()) == []


def test_the_checkpoint_before_a_broken_one_is_used_and_both_are_named(tmp_path: Path) -> None:
    first = Trial(tmp_path)
    first.train(2, 7)
    os.truncate(first.folder / "step-0000000007.pt", 1000)
    trial = Trial(tmp_path)
    assert trial.load() == {"spent": {"epochs": 0}}
    (broken, _), went_on = trial.said
    assert broken.startswith(f"a broken checkpoint was passed over: {first.folder / 'step-0000000007.pt'}: ")
    assert went_on == ("it goes on from its checkpoint, in epoch 1 of 3", False)


def test_where_all_are_broken_a_trial_begins_and_says_so(tmp_path: Path) -> None:
    first = Trial(tmp_path)
    first.train(2, 7)
    for path in first.folder.iterdir():
        os.truncate(path, 1000)
    trial = Trial(tmp_path)
    assert trial.load() == {}
    assert [text.partition(":")[0] for text, _ in trial.said] == ["a broken checkpoint was passed over"] * 2 + [
        "it starts from the beginning"
    ]
    assert trial.trainer.step == 0


def test_a_checkpoint_of_another_training_is_not_used_and_makes_way(tmp_path: Path) -> None:
    Trial(tmp_path, seed=1).train(9)
    trial = Trial(tmp_path)
    assert trial.load() == {}
    ((text, _),) = trial.said
    assert text.startswith("its checkpoint cannot be used (")
    assert "seed is 1 there and 0 here" in text
    assert text.endswith("it starts from the beginning")
    assert trial.trainer.step == 0
    trial.train(2)
    assert trial.files == ["step-0000000002.pt"]


def test_a_folder_that_cannot_be_read_is_a_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "resume", refuse)
    trial = Trial(tmp_path)
    assert trial.load() == {}
    assert trial.said == [("its checkpoint cannot be used ([Errno 13] Permission denied); it starts from the beginning", False)]


def test_what_waits_is_sent_before_a_checkpoint_is_written(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    seen: list[bool] = []
    plan = CheckpointPlan(place=str(tmp_path), seconds=ALWAYS)
    checkpoints = TrialCheckpoints(plan, "bsd-none-0000", tell=trial.tell, before_save=lambda: seen.append(trial.folder.exists()))
    checkpoints.save(trial.trainer, {})
    assert seen == [False]
    assert trial.files == ["step-0000000000.pt"]


def test_checkpoints_are_due_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    trial = Trial(tmp_path, seconds=10)
    due = []
    for now in (109.9, 110.0, 125.0):  # noqa: B007 (the clock)
        due.append(trial.checkpoints.due)
    trial.checkpoints.save(trial.trainer, {})
    due.append(trial.checkpoints.due)
    now = 135.0
    assert [*due, trial.checkpoints.due] == [False, True, True, False, True]


@pytest.mark.parametrize(("seconds", "worth"), [(9.9, False), (10.0, True)])
def test_a_short_training_is_not_worth_a_checkpoint(seconds: float, worth: bool, tmp_path: Path) -> None:
    assert Trial(tmp_path, seconds=10).checkpoints.worth_it(seconds) is worth


def test_where_none_can_be_written_the_training_goes_on_and_says_it_once_for_the_run(tmp_path: Path) -> None:
    place = tmp_path / "checkpoints"
    place.write_text("in the way", encoding="utf-8")
    trial = Trial(place)
    trial.train(2, 3, 12)
    ((text, of_run),) = trial.said
    assert of_run
    assert text.startswith("no checkpoints: ")
    assert f"cannot write to {place} (" in text
    assert "bsd-none-0000" not in text
    assert trial.saves == 3
    assert trial.trainer.epoch == 3


def test_on_a_full_disk_the_checkpoints_that_are_there_stay(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    trial.train(2, 3)
    for _ in range(2):
        (trial.folder / f"step-0000000004.pt.{os.getpid()}.tmp").symlink_to("/dev/full")
        trial.checkpoints.save(trial.trainer, {})
    ((text, of_run),) = trial.said
    assert of_run
    assert f"cannot write to {tmp_path} (No space left on device)" in text
    assert trial.files == ["step-0000000002.pt", "step-0000000003.pt"]
    trial.checkpoints.save(trial.trainer, {})
    assert trial.files == ["step-0000000003.pt", "step-0000000004.pt"]


def test_checkpoints_are_removed_by_trial_and_all_at_once(tmp_path: Path) -> None:
    place = tmp_path / "checkpoints"
    for name in ("bsd-none-0000", "bsd-none-0001"):
        Trial(place, name=name).train(2)
    remove_checkpoints(str(place), "bsd-none-0000")
    assert [path.name for path in place.iterdir()] == ["bsd-none-0001"]
    remove_all_checkpoints(str(place))
    assert not place.exists()
    remove_all_checkpoints(str(place))
    remove_checkpoints(str(place), "bsd-none-0001")
