"""What happens to trials of real studies on a real local Ray: their processes are killed and their checkpoints are damaged, and no number
changes by it.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import pytest

import studies
from studies.ledger import Event, read_ledger
from tests.studies._injected import at_work, injected, log_lines
from tests.studies._processes import alive, wait_for
from tests.studies._real_runs import INCIDENTAL, call, numbers, start

pytestmark = [pytest.mark.slow, pytest.mark.faults]

STUDY = """
question: Does a study survive the death of its trials?
dataset: digits
train_images: 900
width: 4
methods: [cross_entropy, bsd]
conditions: ["symmetric:0.4"]
validation_labels: clean
trials: 2
epochs: 40
batch_size: 64
checkpoint_seconds: 0.2
evaluate: {corruptions: gaussian_noise, severities: [2, 4], images: 40}
confirm: {at_most: 1, seeds: 2, operating_points: false, corruptions: fog, severities: [2], images: 40, predictions: all}
"""
STEPS_PER_EPOCH = 12  # the last of them of a quarter batch
TRAIN, VAL, TEST, SHIFTED = 720, 180, 359, 40  # images


class Fault(NamedTuple):
    """What is done to one trial.

    Attributes:
        name: for messages.
        damage: its checkpoints, newest first, are given to this while it stands still, just before it is killed.
        confirm: whether it happens in the confirm phase.
    """

    name: str
    damage: Callable[[list[Path]], object] = lambda checkpoints: None
    confirm: bool = False


def truncate_newest(checkpoints: list[Path]) -> None:
    os.truncate(checkpoints[0], checkpoints[0].stat().st_size * 2 // 3)


def flip_bits_of_all(checkpoints: list[Path]) -> None:
    for path in checkpoints:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0x10
        path.write_bytes(content)


KILL, BROKEN_NEWEST, ALL_BROKEN, KILL_CONFIRMING = (
    Fault("kill"),
    Fault("broken newest", truncate_newest),
    Fault("all broken", flip_bits_of_all),
    Fault("kill", confirm=True),
)


@dataclass
class Hit:
    """A fault that came to pass: the trial, and the steps of its checkpoints when its process stopped, newest first."""

    fault: Fault
    trial_id: str
    steps: list[int]


@dataclass
class Disturbed:
    """A study whose trials suffered."""

    screen: str
    run: studies.Run
    hits: list[Hit]

    def events(self) -> list[Event]:
        return read_ledger(self.run.path / "ledger.jsonl").events

    def notes(self, trial_id: str) -> list[str]:
        return [event["text"] for event in self.events() if event["event"] == "note" and event["trial_id"] == trial_id]

    def hit_by(self, fault: Fault) -> Hit:
        return next(hit for hit in self.hits if hit.fault is fault)


def write_study(folder: Path) -> Path:
    path = folder / "suffering.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


def steps_on_disk(checkpoints: Path, trial_id: str) -> list[Path]:
    """Whole checkpoints of a trial, newest first."""
    return sorted((checkpoints / trial_id).glob("step-*.pt"), reverse=True)


def strike(fault: Fault, log: Path, run: Path, rng: random.Random, spared: set[str]) -> list[Hit]:
    """Stop a trial's process at a random moment, damage what is to be damaged, and kill it: empty if there is none yet."""
    candidates = [
        (trial_id, pid)
        for trial_id, pid in at_work(log).items()
        if trial_id not in spared and ("-confirm-" in trial_id) == fault.confirm
        # It has come beyond its first epoch, and by more than the checkpoint that a fault may break.
        if [step_of(path) > STEPS_PER_EPOCH for path in steps_on_disk(run / "checkpoints", trial_id)][:2] == [True, True]
    ]
    if not candidates:
        return []
    trial_id, pid = rng.choice(candidates)
    time.sleep(rng.uniform(0, 0.3))
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        return []
    try:
        found = steps_on_disk(run / "checkpoints", trial_id)
        if at_work(log).get(trial_id) != pid or len(found) < 2 or ended(run, trial_id):
            return []  # it came to its end meanwhile
        fault.damage(found)
        os.kill(pid, signal.SIGKILL)
    finally:
        if alive([pid]):
            os.kill(pid, signal.SIGCONT)
    return [Hit(fault, trial_id, [step_of(path) for path in found])]


def step_of(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))


def ended(run: Path, trial_id: str) -> bool:
    return any(event["event"] == "end" and event["trial_id"] == trial_id for event in read_ledger(run / "ledger.jsonl").events)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[studies.Run, Path]:
    """A run that nothing happens to, and its log."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with injected(folder / "log") as log, start(write_study(folder), folder / "results") as process:
        try:
            screen, _ = process.communicate(timeout=600)
        finally:
            process.kill()
    assert process.returncode == 0, screen
    return studies.load("suffering", results=folder / "results"), log


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> Disturbed:
    """The same study, with one fault after the other; no trial suffers more than one, so none loses more processes than it may."""
    folder = tmp_path_factory.mktemp("disturbed")
    seed = secrets.randbelow(1_000_000)
    print(f"random moments and trials: seed {seed}")
    rng = random.Random(seed)
    hits: list[Hit] = []
    with injected(folder / "log") as log, start(write_study(folder), folder / "results") as process:
        try:
            (run,) = wait_for(lambda: list(folder.glob("results/*/2*")), seconds=240, what="the run's folder")
            for fault in (KILL, BROKEN_NEWEST, ALL_BROKEN, KILL_CONFIRMING):
                hits += wait_for(partial(strike, fault, log, run, rng, {hit.trial_id for hit in hits}), seconds=180, what=fault.name)
            screen, _ = process.communicate(timeout=600)
        finally:
            process.kill()
    assert process.returncode == 0, screen
    return Disturbed(screen, studies.load("suffering", results=folder / "results"), hits)


def everything(run: studies.Run) -> dict[str, Any]:
    """All tables without times, each row once and in a settled order, and the bytes of all predictions."""
    found: dict[str, Any] = {"trials": numbers(run)}
    for name in ("epochs", "evaluations", "reliability"):
        table = getattr(run, name)
        rows = table.drop_columns([column for column in table.column_names if column in INCIDENTAL | {"seconds"}]).to_pylist()
        found[name] = sorted(map(json.dumps, rows))
    return found | {path.name: path.read_bytes() for path in (run.path / "tables/predictions").iterdir()}


def test_no_number_changes(undisturbed: tuple[studies.Run, Path], disturbed: Disturbed) -> None:
    expected, found = everything(undisturbed[0]), everything(disturbed.run)
    assert found.keys() == expected.keys()
    for name in expected:
        assert found[name] == expected[name], name
    assert {row["epochs"] for row in found["trials"]} == {40}


def test_no_trial_ends_twice_and_no_row_is_doubled(disturbed: Disturbed) -> None:
    assert set(Counter(event["trial_id"] for event in disturbed.events() if event["event"] == "end").values()) == {1}
    epochs = Counter((row["trial_id"], row["epoch"]) for row in disturbed.run.epochs.to_pylist())
    assert (len(epochs), set(epochs.values())) == (8 * 40, {1})


def test_every_number_is_verified(disturbed: Disturbed) -> None:
    done = call("verify", str(disturbed.run.path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_optuna_has_no_trial_more(undisturbed: tuple[studies.Run, Path], disturbed: Disturbed) -> None:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    def trials(run: studies.Run) -> dict[str, list[Any]]:
        storage = JournalStorage(JournalFileBackend(str(run.path / "optuna.journal")))
        names = optuna.get_all_study_names(storage)
        found = {name: optuna.load_study(study_name=name, storage=storage).trials for name in names}
        return {name: [(trial.number, trial.state, trial.params, trial.values) for trial in of_arm] for name, of_arm in found.items()}

    assert trials(disturbed.run) == trials(undisturbed[0])


def test_a_killed_trial_goes_on_from_its_checkpoint(disturbed: Disturbed) -> None:
    for fault in (KILL, KILL_CONFIRMING):
        hit = disturbed.hit_by(fault)
        assert disturbed.notes(hit.trial_id) == [went_on_at(hit.steps[0])]
        assert hit.steps[0] >= STEPS_PER_EPOCH
        assert f"{hit.trial_id}: its process died (killed, or crashed); it is started again" in flat(disturbed.screen)


def test_where_the_newest_checkpoint_is_broken_the_one_before_it_is_used(disturbed: Disturbed) -> None:
    hit = disturbed.hit_by(BROKEN_NEWEST)
    passed_over, went_on = disturbed.notes(hit.trial_id)
    assert passed_over.startswith("a broken checkpoint was passed over: ")
    assert f"step-{hit.steps[0]:010d}.pt" in passed_over
    assert went_on == went_on_at(hit.steps[1])
    assert flat(f"{hit.trial_id}: a broken checkpoint was passed over") in flat(disturbed.screen)
    assert flat(f"{hit.trial_id}: {went_on}") in flat(disturbed.screen)


def test_where_all_checkpoints_are_broken_a_trial_starts_from_the_beginning(disturbed: Disturbed) -> None:
    hit = disturbed.hit_by(ALL_BROKEN)
    *passed_over, began = disturbed.notes(hit.trial_id)
    assert [f"step-{step:010d}.pt" in note for step, note in zip(hit.steps, passed_over, strict=True)] == [True] * len(hit.steps)
    assert began == "it starts from the beginning"


def test_checkpoints_are_gone_when_the_study_is_done(disturbed: Disturbed) -> None:
    assert not (disturbed.run.path / "checkpoints").exists()


def test_data_are_put_into_the_object_store_once_whatever_phases_use_them(undisturbed: tuple[studies.Run, Path]) -> None:
    put = [line["put"] for line in log_lines(undisturbed[1], "put")]
    searched = [[TRAIN, 1, 8, 8], [TRAIN], [VAL, 1, 8, 8], [VAL], [SHIFTED]]
    features = [TEST]  # rows of the images whose features are kept
    assert put == [*searched, [TEST, 1, 8, 8], [TEST], [SHIFTED], features]


def went_on_at(step: int) -> str:
    return f"it goes on from its checkpoint, in epoch {(step - 1) // STEPS_PER_EPOCH + 1} of 40"


def flat(screen: str) -> str:
    """Without the line breaks of a screen of 80 columns."""
    return " ".join(screen.split())
