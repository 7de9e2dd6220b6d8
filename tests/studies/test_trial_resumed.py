"""A trial that goes on from its checkpoint in another process: the same events as one that was left in peace, each told in time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bsd_core.checkpoint import save_checkpoint
from bsd_core.methods import METHODS
from bsd_core.train import Trainer
from studies import trial as trial_module
from studies import trial_checkpoints, trial_data
from studies.ledger import Event
from studies.rungs import Rungs
from studies.trial import run_trial, trial_events
from studies.trial_checkpoints import CheckpointPlan, TrialCheckpoints
from studies.trial_data import SearchData, TrialSettings, TrialTask
from tests.studies._dummies import make_search_data, make_settings, make_task

CPU = torch.device("cpu")
EPOCHS, STEPS_PER_EPOCH = 4, 3
INCIDENTAL = {"seconds", "train_seconds", "evaluate_seconds", "images_per_second", "kept"}


class KilledError(BaseException):
    """No exception of a training: what a test throws to end it anywhere."""


def content(event: Event) -> Event:
    """Without times."""
    kept = {name: value for name, value in event.items() if name not in INCIDENTAL}
    return kept | {"so_far": content(kept["so_far"])} if "so_far" in kept else kept


class Dying(TrialCheckpoints):
    """Saves after every second step, and dies in the step after `last`."""

    def __init__(self, place: Path, *, last: int) -> None:
        super().__init__(CheckpointPlan(place=str(place), seconds=0), "bsd-none-0000", tell=lambda text, of_run=False: None)
        self._steps, self._final = 0, last

    @property
    def due(self) -> bool:
        self._steps += 1
        if self._steps > self._final:
            raise KilledError
        return self._steps % 2 == 0


def made_test_data() -> trial_data.TestData:
    data = make_search_data()
    images, targets = data.val_images, data.val_targets
    return trial_data.TestData(images=images, targets=targets, shifted_rows=data.shifted_rows, official_folder=None, fingerprint="test")


def killed(
    place: Path, task: TrialTask, settings: TrialSettings, data: SearchData, test: trial_data.TestData | None, *, last: int
) -> list[Event]:
    """What a trial tells before it dies."""
    told: list[Event] = []
    with pytest.raises(KilledError):
        told.extend(trial_events(task, settings, data, CPU, test, checkpoints=Dying(place, last=last)))
    return told


def resumed(
    place: Path, task: TrialTask, settings: TrialSettings, data: SearchData, test: trial_data.TestData | None = None
) -> list[Event]:
    plan = CheckpointPlan(place=str(place), seconds=1e9)
    checkpoints = TrialCheckpoints(plan, "bsd-none-0000", tell=lambda text, of_run=False: None)
    return list(trial_events(task, settings, data, CPU, test, checkpoints=checkpoints))


@pytest.mark.parametrize(("method", "phase"), [("bsd", "confirm"), *((method, "search") for method in sorted(METHODS))])
def test_a_resumed_trial_ends_as_one_that_was_left_in_peace(method: str, phase: str, tmp_path: Path) -> None:
    data = make_search_data(conditions=["symmetric_40"], fingerprint=f"resumed {phase}")
    settings = make_settings(epochs=EPOCHS, predictions="none" if phase == "search" else "all", rungs=Rungs(first=2))
    task, test = make_task(method, condition="symmetric_40"), None
    if phase == "confirm":
        data, test = replace(data, given={"symmetric_40/1": data.given["symmetric_40"]}), made_test_data()
        task = replace(task, replicate=1)
    whole = list(trial_events(task, settings, data, CPU, test))
    before = killed(tmp_path, task, settings, data, test, last=STEPS_PER_EPOCH + 2)
    after = resumed(tmp_path, task, settings, data, test)
    assert [event.get("epoch") for event in before] == [1]
    assert [event.get("epoch") for event in after] == [2, 3, 4, None]
    assert [content(event) for event in before + after] == [content(event) for event in whole]
    predictions = [events[-1]["kept"].predictions for events in (after, whole)]
    assert len(predictions[0]) == len(predictions[1])
    for one, other in zip(*predictions, strict=True):
        assert (one.logits == other.logits).all()


@pytest.mark.parametrize("last", range(EPOCHS * STEPS_PER_EPOCH))
def test_a_trial_can_be_killed_at_any_step(last: int, tmp_path: Path) -> None:
    """No epoch is left out, whichever step was the last."""
    task, settings, data = make_task("bsd"), make_settings(epochs=EPOCHS), make_search_data()
    whole = list(trial_events(task, settings, data, CPU))
    before, after = killed(tmp_path, task, settings, data, None, last=last), resumed(tmp_path, task, settings, data)
    latest = {event.get("epoch"): content(event) for event in before + after}
    assert list(latest.values()) == [content(event) for event in whole]
    assert len(before) + len(after) - len(whole) <= 1  # told again: at most the epoch before the second-last step
    assert all(content(event) in map(content, whole) for event in before)


def test_seconds_before_and_after_a_death_add_up(tmp_path: Path) -> None:
    task, settings, data = make_task("bsd"), make_settings(epochs=EPOCHS), make_search_data()
    before = killed(tmp_path, task, settings, data, None, last=2 * STEPS_PER_EPOCH + 2)
    *after, end = resumed(tmp_path, task, settings, data)
    rows = {event["epoch"]: event["seconds"] for event in before + after}
    assert end["train_seconds"] == pytest.approx(sum(rows.values()))
    assert end["images_seen"] == EPOCHS * 48
    assert end["images_per_second"] < 48 * EPOCHS / (end["train_seconds"] / 10)


def test_a_trial_that_dies_in_its_evaluation_trains_no_step_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*args: Any, **kwargs: Any) -> None:
        raise KilledError

    task, settings, data = make_task("bsd"), make_settings(epochs=EPOCHS), make_search_data()
    whole = list(trial_events(task, settings, data, CPU))
    with monkeypatch.context() as patch:
        patch.setattr(trial_module, "measure_val", die)
        killed(tmp_path, task, settings, data, None, last=10**6)
    monkeypatch.setattr(Trainer, "_train_step", die)
    assert [content(event) for event in resumed(tmp_path, task, settings, data)] == [content(whole[-1])]


# --- on their way to the driver


@pytest.fixture
def happened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, Any]]]:
    """What a trial's process does, in order: ("sent", its message) and ("saved", epochs done)."""
    from ray import tune

    done: list[tuple[str, Any]] = []

    def saved(folder: Path, trainer: Trainer, **kwargs: Any) -> Path:
        done.append(("saved", trainer.epoch))
        return save_checkpoint(folder, trainer, **kwargs)

    monkeypatch.setattr(trial_checkpoints, "save_checkpoint", saved)
    monkeypatch.setattr(tune, "report", lambda message: done.append(("sent", message | {"events": json.loads(message["events"])})))
    threads = torch.get_num_threads()
    yield done
    torch.set_num_threads(threads)


@pytest.mark.parametrize("report_seconds", [0.0, 1e9])
def test_epochs_are_sent_and_synced_before_a_checkpoint_is_written(
    report_seconds: float, happened: list[tuple[str, Any]], tmp_path: Path
) -> None:
    """Or a training that goes on from there would never tell of them; also those that were sent before, without need for haste."""
    plan = CheckpointPlan(place=str(tmp_path), seconds=0)
    settings = make_settings(epochs=EPOCHS, checkpoints=plan, report_seconds=report_seconds)
    run_trial({"task": asdict(make_task("bsd"))}, data=make_search_data(), settings=settings)
    told: list[int] = []
    synced = 0
    for what, value in happened:
        if what == "sent":
            told += [event["epoch"] for event in value["events"] if event["event"] == "epoch"]
            synced = len(told) if value.get("sync") else synced
        else:
            assert (told, synced) == (list(range(1, value + 1)), value)
    assert told == [1, 2, 3, 4]
    assert [value for what, value in happened if what == "saved"] == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3 + [4]


def test_without_checkpoints_epochs_travel_together(happened: list[tuple[str, Any]]) -> None:
    run_trial({"task": asdict(make_task("bsd"))}, data=make_search_data(), settings=make_settings(epochs=EPOCHS, report_seconds=1e9))
    ((_, message),) = happened
    assert [event.get("epoch") for event in message["events"]] == [1, 2, 3, 4, None]
    assert not message["sync"]


def test_a_resumed_trial_says_so_with_its_first_epoch(happened: list[tuple[str, Any]], tmp_path: Path) -> None:
    task, data = make_task("bsd", trial_id="bsd-none-0000"), make_search_data()
    killed(tmp_path, task, make_settings(epochs=EPOCHS), data, None, last=STEPS_PER_EPOCH + 2)
    happened.clear()
    settings = make_settings(epochs=EPOCHS, checkpoints=CheckpointPlan(place=str(tmp_path), seconds=1e9), report_seconds=0)
    run_trial({"task": asdict(task)}, data=data, settings=settings)
    note, epoch = happened[0][1]["events"]
    assert (note["event"], note["trial_id"]) == ("note", "bsd-none-0000")
    assert note["text"] == "it goes on from its checkpoint, in epoch 2 of 4"
    assert epoch["epoch"] == 2
