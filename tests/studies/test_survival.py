"""The driver's side of what happens to trials, played by hand: processes that die, trials that hang, ledgers that cannot be written."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bsd_core.errors import StorageError
from studies.driver import StudyDriver
from studies.halving import ParetoHalving
from studies.ledger import Event, Ledger
from studies.rungs import Rungs
from tests.studies._dummies import make_end, make_epoch
from tests.studies.test_driver import Bench

TRIAL = "cross_entropy-none-0000"


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


class Suffering(Bench):
    """A driver that times trials and says whose checkpoints may go."""

    def __init__(self, path: Path, *, timeout: float | None = 60, halving: ParetoHalving | None = None, **changes: Any) -> None:
        super().__init__(path, **changes)
        self.forgotten: list[tuple[str, str]] = []  # and the last event by then
        self.driver = StudyDriver(self.search, self.ledger, self.progress, self.view, timeout=timeout, halving=halving, forget=self.forget)

    def forget(self, trial_id: str) -> None:
        self.forgotten.append((trial_id, self.events[-1]["event"]))

    def begin(self, tune_id: str) -> None:
        """A trial's process is told what to train, and says that it begins."""
        self.driver.suggest(tune_id)
        self.tell(tune_id, {"event": "begin"})

    def tell(self, tune_id: str, *events: Event, sync: bool = False) -> bool:
        trial_id = self.driver.trial_name(tune_id)
        return self.driver.receive(tune_id, json.dumps([{**event, "trial_id": trial_id} for event in events]), sync=sync)

    def die(self, tune_id: str, cause: str = "killed, or crashed") -> None:
        self.driver.died(tune_id, cause)
        self.driver.complete(tune_id, died=True)

    def rows(self) -> list[int]:
        return [row["epoch"] for event in self.events if event["event"] == "epochs" for row in event["rows"]]

    def ends(self) -> list[Event]:
        return [event for event in self.events if event["event"] == "end"]


Make = Callable[..., Suffering]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Suffering] = []

    def make(**changes: Any) -> Suffering:
        made.append(Suffering(tmp_path / "ledger.jsonl", **changes))
        return made[-1]

    yield make
    for bench in made:
        bench.ledger.close()


def epoch(number: int, **changes: Any) -> Event:
    return {"event": "epoch", **make_epoch(number, epochs=9), **changes}


# --- processes that die


def test_a_dead_process_is_noted_with_its_cause_and_its_checkpoints_stay(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    bench = make()
    bench.begin("t0")
    bench.driver.died("t0", "its node died", details="all that Ray\nsays")
    bench.driver.complete("t0", died=True)
    assert bench.view.notes == [f"{TRIAL}: its process died (its node died); it is started again"]
    assert f"{TRIAL}: its process died:\nall that Ray\nsays" in capsys.readouterr().out
    assert bench.forgotten == []


def test_a_trial_that_gets_on_may_lose_any_number_of_processes(make: Make) -> None:
    bench = make()
    for number in range(1, 10):
        bench.begin(f"t{number}")
        assert bench.driver.trial_name(f"t{number}") == TRIAL
        bench.tell(f"t{number}", epoch(number))
        bench.die(f"t{number}")
    bench.begin("last")
    assert not bench.tell("last", make_end("", 0, 0.9))
    bench.driver.complete("last", died=False)
    assert [end["state"] for end in bench.ends()] == ["complete"]
    assert len(bench.search.arms["cross_entropy/none"].study.trials) == 1
    assert bench.forgotten == [(TRIAL, "end")]


def test_a_trial_that_does_not_get_on_fails_with_the_last_cause_and_spends_each_epoch_once(make: Make) -> None:
    bench = make()
    for number in range(4):
        bench.begin(f"t{number}")
        bench.tell(f"t{number}", epoch(1), epoch(2))
        bench.die(f"t{number}", "its node ran out of memory")
    (end,) = bench.ends()
    assert "4 times without getting further (its node ran out of memory)" in end["error"]
    assert (end["epochs"], end["images_seen"], end["train_seconds"], end["total_epochs"]) == (2, 200, 0.5, 9)
    assert bench.forgotten == [(TRIAL, "end")]
    assert bench.search.arms["cross_entropy/none"].budget.failed == 1


def test_what_an_earlier_driver_heard_of_a_trial_is_spent(make: Make) -> None:
    first = make()
    first.begin("t0")
    first.tell("t0", epoch(1), epoch(2))
    second = make()
    second.driver.replay(second.events)
    for number in range(4):
        second.begin(f"u{number}")
        second.die(f"u{number}")
    (end,) = second.ends()
    assert (end["trial_id"], end["epochs"], end["images_seen"]) == (TRIAL, 2, 200)


def test_a_trial_that_tune_runs_again_after_its_end_is_stopped_and_ends_once(make: Make) -> None:
    """Its node was taken away just after it had told its result; Tune moves such trials by itself, under the same id."""
    bench = make()
    bench.begin("t0")
    assert not bench.tell("t0", epoch(1), make_end("", 0, 0.9))
    assert bench.tell("t0", {"event": "begin"})
    assert bench.tell("t0", epoch(1), make_end("", 0, 0.5))
    bench.driver.complete("t0", died=False)
    assert [end["metrics"]["val_accuracy"] for end in bench.ends()] == [0.9]
    assert bench.rows() == [1]


# --- trials that hang


def test_an_overdue_trial_is_named_once_recorded_as_timed_out_and_replaced(make: Make, clock: Clock) -> None:
    bench = make()
    bench.begin("t0")
    bench.tell("t0", epoch(1))
    clock.now += 60
    assert bench.driver.overdue() == []
    clock.now += 1
    assert bench.driver.overdue() == ["t0"]
    assert bench.driver.overdue() == []
    bench.die("t0")
    (end,) = bench.ends()
    assert (end["state"], end["error"]) == ("failed", "timed out: it had not ended after trial_timeout=60 seconds")
    assert (end["epochs"], end["images_seen"]) == (1, 100)
    assert bench.view.notes == [f"{TRIAL} failed: {end['error']}"]
    assert bench.forgotten == [(TRIAL, "end")]
    numbers = {bench.driver.suggest(f"u{count}") and bench.driver.trial_name(f"u{count}") for count in range(2)}
    assert numbers & {"cross_entropy-none-0001", "bsd-none-0000"}
    assert TRIAL not in numbers


def test_the_clock_of_a_trial_is_that_of_its_process(make: Make, clock: Clock) -> None:
    bench = make()
    bench.begin("t0")
    clock.now += 50
    bench.die("t0")
    bench.begin("t1")  # the same trial in another process
    clock.now += 50
    assert bench.driver.overdue() == []
    bench.tell("t1", {"event": "begin"})  # Tune itself has moved it
    clock.now += 50
    assert bench.driver.overdue() == []
    clock.now += 11
    assert bench.driver.overdue() == ["t1"]


def test_a_trial_that_hangs_after_its_result_keeps_it(make: Make, clock: Clock) -> None:
    bench = make()
    bench.begin("t0")
    bench.tell("t0", epoch(1), make_end("", 0, 0.9))
    clock.now += 61
    assert bench.driver.overdue() == ["t0"]
    bench.die("t0")
    assert [end["state"] for end in bench.ends()] == ["complete"]


def test_ended_trials_and_those_that_have_not_begun_are_never_overdue(make: Make, clock: Clock) -> None:
    bench = make(slots=2)
    bench.begin("t0")
    bench.tell("t0", make_end("", 0, 0.9))
    bench.driver.complete("t0", died=False)
    bench.driver.suggest("t1")
    clock.now += 1e6
    assert bench.driver.overdue() == []


def test_without_a_timeout_nothing_is_overdue(make: Make, clock: Clock) -> None:
    bench = make(timeout=None)
    bench.begin("t0")
    clock.now += 1e9
    assert bench.driver.overdue() == []


# --- notes


def test_notes_are_in_the_ledger_and_shown_and_those_of_a_run_only_once(make: Make) -> None:
    bench = make(slots=2)
    bench.begin("t0")
    bench.begin("t1")
    for tune_id in ("t0", "t1"):
        bench.tell(tune_id, {"event": "note", "text": "it goes on"}, {"event": "note", "text": "no checkpoints", "of_run": True})
    assert [(event["trial_id"], event["text"]) for event in bench.events if event["event"] == "note"] == [
        (TRIAL, "it goes on"),
        (TRIAL, "no checkpoints"),
        ("bsd-none-0000", "it goes on"),
        ("bsd-none-0000", "no checkpoints"),
    ]
    assert bench.view.notes == [f"{TRIAL}: it goes on", "no checkpoints", "bsd-none-0000: it goes on"]


# --- ledgers that cannot be written


def on_a_full_disk(bench: Suffering) -> None:
    bench.ledger.close()
    bench.driver.ledger = bench.ledger = Ledger(Path("/dev/full"))


@pytest.mark.parametrize("message", [[epoch(1)], [make_end("", 0, 0.9)], [{"event": "note", "text": "it goes on"}]])
def test_after_a_write_that_failed_nothing_is_told_and_nothing_begins(make: Make, message: list[Event]) -> None:
    bench = make(slots=2)
    bench.begin("t0")
    bench.begin("t1")
    on_a_full_disk(bench)
    assert bench.tell("t0", *message)
    assert isinstance(bench.driver.problem, StorageError)
    assert "No space left on device" in str(bench.driver.problem)
    first = bench.driver.problem
    assert bench.tell("t1", make_end("", 0, 0.9))
    bench.driver.complete("t0", died=False)
    bench.die("t1")
    assert bench.driver.suggest("t2") is None
    assert bench.driver.problem is first
    for arm in bench.search.arms.values():
        assert (arm.running, arm.budget.completed, arm.budget.failed) == (1, 0, 0)  # whoever resumes runs them again
    assert bench.forgotten == []


def test_a_trial_that_cannot_be_written_down_is_not_begun(make: Make) -> None:
    bench = make()
    on_a_full_disk(bench)
    assert bench.driver.suggest("t0") is None
    assert isinstance(bench.driver.problem, StorageError)


def test_a_trial_whose_end_is_on_the_disk_is_told_even_then(make: Make) -> None:
    bench = make(slots=2)
    bench.begin("t0")
    bench.begin("t1")
    bench.tell("t0", epoch(1), make_end("", 0, 0.9))
    written = bench.path.read_bytes()
    on_a_full_disk(bench)
    assert bench.tell("t1", epoch(1))
    bench.driver.complete("t0", died=False)
    assert bench.search.arms["cross_entropy/none"].budget.completed == 1
    assert bench.path.read_bytes() == written


# --- trials that are stopped early


def test_a_trial_that_is_told_again_is_ranked_once_and_gets_the_same_decision(make: Make) -> None:
    """Rungs at 1 and 3 of 9 epochs; of every three trials one goes on, and those that come while there are less."""
    bench = make(halving=ParetoHalving(Rungs(reduction=3, first=1), audit=0.0), slots=1, methods=["bsd"], trials=9)
    decisions = []
    for number, (tune_id, accuracy) in enumerate([("a", 0.5), ("b", 0.6), ("c", 0.7), ("d", 0.4)]):
        trial_id = f"bsd-none-{number:04d}"
        at_rung = epoch(1, val_accuracy=accuracy, val_nll=1 - accuracy, so_far={"trial_id": trial_id, "epochs": 1})
        bench.begin(tune_id)
        first = bench.tell(tune_id, at_rung)
        decisions.append(first)
        if not first:
            bench.die(tune_id)
            bench.begin(tune_id := f"{tune_id}-again")
            assert bench.driver.trial_name(tune_id) == trial_id
            assert bench.tell(tune_id, at_rung) == first
            bench.tell(tune_id, make_end("", 0, accuracy))
        bench.driver.complete(tune_id, died=False)
    assert decisions == [False, False, False, True]
    assert [(end["trial_id"], end["state"]) for end in bench.ends()] == [
        ("bsd-none-0000", "complete"),
        ("bsd-none-0001", "complete"),
        ("bsd-none-0002", "complete"),
        ("bsd-none-0003", "stopped"),
    ]
