from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from studies.driver import StudyDriver
from studies.ledger import Event, Ledger, read_ledger
from studies.outcome import Outcome
from studies.progress import StudyProgress
from studies.search import StudySearch
from studies.tables import build_tables
from tests.studies._dummies import CONSTANTS, make_end, make_epoch, make_spec


class SilentView:
    """Remembers what was noted."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.updates = 0

    def start(self) -> None:
        pass

    def update(self) -> None:
        self.updates += 1

    def note(self, text: str) -> None:
        self.notes.append(text)

    def stop(self) -> None:
        pass


class Bench:
    """A driver on a ledger file, with no Ray before it; trials are played by hand."""

    def __init__(self, path: Path, *, slots: int = 1, **changes: Any) -> None:
        spec = make_spec(**changes)
        self.search = StudySearch(spec, slots)
        self.path = path
        self.progress = StudyProgress("mine", dict.fromkeys(self.search.arms, spec.trials), epochs=spec.epochs, slots=slots)
        self.view = SilentView()
        self.ledger = Ledger(path)
        self.driver = StudyDriver(self.search, self.ledger, self.progress, self.view)

    @property
    def events(self) -> list[Event]:
        return read_ledger(self.path).events

    def message(self, tune_id: str, accuracy: float | None = 0.9, *, epochs: Sequence[int] = (1, 2), end: bool = True) -> str:
        """What a trial's process sends."""
        name = self.driver.trial_name(tune_id)
        events: list[Event] = [{"event": "epoch", "trial_id": name, **make_epoch(epoch)} for epoch in epochs]
        return json.dumps(events + [{**make_end("", 0, accuracy), "trial_id": name}] * end)

    def run(self, tune_id: str, accuracy: float | None = 0.9) -> dict[str, Any] | None:
        """One whole trial."""
        config = self.driver.suggest(tune_id)
        if config is not None:
            self.driver.receive(tune_id, self.message(tune_id, accuracy))
            self.driver.complete(tune_id, died=False)
        return config

    def run_all(self, prefix: str = "t") -> list[dict[str, Any]]:
        configs: list[dict[str, Any]] = []
        while (config := self.run(f"{prefix}{len(configs)}")) is not None:
            configs.append(config["task"])
        return configs


MakeBench = Callable[..., Bench]


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[MakeBench]:
    """Benches on files of this test's folder, closed at its end."""
    benches: list[Bench] = []

    def make(name: str = "ledger", **changes: Any) -> Bench:
        benches.append(Bench(tmp_path / f"{name}.jsonl", **changes))
        return benches[-1]

    yield make
    for made in benches:
        made.ledger.close()


@pytest.fixture
def bench(make_bench: MakeBench) -> Bench:
    return make_bench()


def kinds(events: list[Event]) -> list[tuple[str, str]]:
    return [(event["event"], event["trial_id"]) for event in events]


# --- one trial


def test_a_suggestion_is_in_the_ledger_before_it_is_handed_out(bench: Bench) -> None:
    config = bench.driver.suggest("t0")
    assert config is not None
    (event,) = bench.events
    task = config["task"]
    assert (event["event"], event["trial_id"], event["arm"], event["trial_number"]) == (
        "suggest",
        "cross_entropy-none-0000",
        "cross_entropy/none",
        0,
    )
    assert (event["phase"], event["noise_kind"], event["noise_rate"], event["seed"]) == ("search", "none", 0.0, task["seed"])
    assert event["params"] == {**task["settings"], "learning_rate": task["learning_rate"], "weight_decay": task["weight_decay"]}
    assert bench.driver.trial_name("t0") == task["trial_id"] == "cross_entropy-none-0000"


def test_a_task_can_be_sent_as_json_and_built(bench: Bench) -> None:
    from studies.trial_data import TrialTask

    config = bench.driver.suggest("t0")
    assert config is not None
    task = TrialTask(**json.loads(json.dumps(config))["task"])
    assert (task.method, task.condition, task.settings) == ("cross_entropy", "none", {})


def test_a_methods_own_settings_travel_apart_from_the_shared_ones(make_bench: MakeBench) -> None:
    config = make_bench("ledger", methods=["bsd"]).driver.suggest("t0")
    assert config is not None
    assert set(config["task"]["settings"]) == {"prior_strength", "discount", "temperature"}


def test_the_ledger_tells_a_trial_in_its_order(bench: Bench) -> None:
    bench.run("t0")
    name = "cross_entropy-none-0000"
    assert kinds(bench.events) == [("suggest", name), ("epochs", name), ("end", name)]
    assert [row["epoch"] for row in bench.events[1]["rows"]] == [1, 2]
    assert "trial_id" not in bench.events[1]["rows"][0]


def test_epochs_may_come_in_several_messages(bench: Bench) -> None:
    bench.driver.suggest("t0")
    bench.driver.receive("t0", bench.message("t0", epochs=[1], end=False))
    assert kinds(bench.events)[1:] == [("epochs", "cross_entropy-none-0000")]
    assert bench.progress.running["cross_entropy-none-0000"].latest["epoch"] == 1
    bench.driver.receive("t0", bench.message("t0", epochs=[2]))
    bench.driver.complete("t0", died=False)
    rows = [row["epoch"] for event in bench.events if event["event"] == "epochs" for row in event["rows"]]
    assert rows == [1, 2]


def test_the_end_is_on_the_disk_before_the_search_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    real_tell, real_sync = bench.search.tell, os.fsync

    def tell(arm: str, number: int, outcome: Outcome) -> None:
        happened.append("told, with " + bench.events[-1]["event"])
        real_tell(arm, number, outcome)

    def fsync(descriptor: int) -> None:
        happened.append("synced " + bench.events[-1]["event"])
        real_sync(descriptor)

    monkeypatch.setattr(bench.search, "tell", tell)
    monkeypatch.setattr(os, "fsync", fsync)
    bench.run("t0")
    assert happened == ["synced end", "told, with end"]


def test_the_search_hears_the_objectives_and_the_view_the_result(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int, Outcome]] = []
    monkeypatch.setattr(bench.search, "tell", lambda *outcome: told.append(outcome))
    bench.run("t0", accuracy=0.75)
    assert told == [("cross_entropy/none", 0, Outcome(values=(0.75, 0.1)))]
    assert bench.progress.arms["cross_entropy/none"].points == [(0.75, 0.1)]
    assert bench.progress.running == {}


def test_two_trials_at_once_do_not_mix(make_bench: MakeBench) -> None:
    bench = make_bench("ledger", slots=2)
    bench.driver.suggest("a")
    bench.driver.suggest("b")
    for tune_id, accuracy in (("b", 0.5), ("a", 0.7)):
        bench.driver.receive(tune_id, bench.message(tune_id, accuracy))
    for tune_id in ("a", "b"):
        bench.driver.complete(tune_id, died=False)
    assert bench.progress.arms["cross_entropy/none"].points == [(0.7, 0.1)]
    assert bench.progress.arms["bsd/none"].points == [(0.5, 0.1)]


def test_a_study_ends_when_every_arm_has_its_budget(bench: Bench) -> None:
    tasks = bench.run_all()
    assert [task["method"] for task in tasks] == ["cross_entropy", "bsd", "cross_entropy", "bsd"]
    assert bench.search.done
    assert bench.driver.suggest("more") is None
    assert bench.progress.finished == 4


# --- failures


def test_a_failed_trial_is_told_as_failed_noted_and_replaced(bench: Bench) -> None:
    bench.run("t0", accuracy=None)
    assert bench.view.notes == ["cross_entropy-none-0000 failed: diverged: loss nan"]
    assert (bench.progress.failed, bench.search.arms["cross_entropy/none"].budget.failed) == (1, 1)
    bench.run_all("u")
    assert [arm.budget.completed for arm in bench.search.arms.values()] == [2, 2]


def test_a_traceback_goes_to_the_log_and_not_to_the_ledger(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.driver.suggest("t0")
    end = {**make_end("", 0, None), "trial_id": bench.driver.trial_name("t0"), "traceback": "Traceback: line one\nline two"}
    bench.driver.receive("t0", json.dumps([end]))
    assert "cross_entropy-none-0000 failed:\nTraceback: line one\nline two" in capsys.readouterr().out
    assert "traceback" not in bench.events[-1]
    assert bench.events[-1]["error"] == "diverged: loss nan"


def test_a_trial_whose_process_died_gets_an_end_and_is_replaced(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(bench.events[-1]["event"])
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    task = bench.driver.suggest("t0")
    bench.driver.receive("t0", bench.message("t0", epochs=[1], end=False))
    for death in range(3):
        bench.driver.complete(f"t{death}", died=True)
        assert bench.driver.suggest(f"t{death + 1}") == task  # the same trial again: settings, number and seed
        assert len(bench.search.arms["cross_entropy/none"].study.trials) == 1
    assert synced == []
    bench.driver.complete("t3", died=True)
    end = bench.events[-1]
    assert synced == ["end"]
    assert (end["event"], end["trial_id"], end["state"]) == ("end", "cross_entropy-none-0000", "failed")
    assert "process died" in end["error"]
    assert bench.search.arms["cross_entropy/none"].budget.failed == 1
    (row,) = build_tables(bench.events, CONSTANTS).trials.to_pylist()
    assert (row["state"], row["val_accuracy"], row["error"]) == ("failed", None, end["error"])
    bench.run_all("u")
    assert [arm.budget.completed for arm in bench.search.arms.values()] == [2, 2]


def test_a_trial_that_ended_before_its_process_died_keeps_its_result(bench: Bench) -> None:
    bench.driver.suggest("t0")
    bench.driver.receive("t0", bench.message("t0"))
    bench.driver.complete("t0", died=True)
    assert [event["state"] for event in bench.events if event["event"] == "end"] == ["complete"]
    assert bench.search.arms["cross_entropy/none"].budget.completed == 1


def test_a_trial_that_ends_without_a_result_is_a_failure_so_that_the_study_does_not_wait_for_ever(bench: Bench) -> None:
    bench.driver.suggest("t0")
    bench.driver.receive("t0", bench.message("t0", epochs=[1], end=False))
    bench.driver.complete("t0", died=False)
    assert [event["event"] for event in bench.events] == ["suggest", "epochs", "end"]
    end = bench.events[-1]
    assert (end["epochs"], end["images_seen"], end["train_seconds"]) == (1, 100, 0.25)  # what it spent is known
    assert bench.events[-1]["error"] == "the trial ended without a result; see run.log"
    arm = bench.search.arms["cross_entropy/none"]
    assert (arm.budget.completed, arm.budget.failed, arm.running) == (0, 1, 0)


def test_a_trial_that_tune_starts_again_counts_once(bench: Bench) -> None:
    """Its process died in the second epoch; Tune runs it once more under the same id."""
    bench.driver.suggest("t0")
    bench.driver.receive("t0", bench.message("t0", epochs=[1], end=False))
    bench.driver.receive("t0", bench.message("t0", epochs=[1, 2]))
    bench.driver.complete("t0", died=False)
    tables = build_tables(bench.events, CONSTANTS)
    assert (len(tables.trials), len(tables.epochs)) == (1, 2)
    assert bench.search.arms["cross_entropy/none"].budget.completed == 1


# --- replay


@pytest.mark.parametrize("n_finished", [0, 1, 2, 5, 8])
def test_a_replayed_ledger_goes_on_where_it_stopped(n_finished: int, make_bench: MakeBench) -> None:
    whole = make_bench("whole", trials=4)
    tasks = whole.run_all()
    part = make_bench("part", trials=4)
    for number in range(n_finished):
        part.run(f"t{number}")
    part.ledger.close()

    resumed = make_bench("part", trials=4)
    resumed.driver.replay(part.events)
    assert resumed.progress.finished == n_finished
    assert resumed.run_all("u") == tasks[n_finished:]
    assert build_tables(resumed.events, CONSTANTS).trials.equals(build_tables(whole.events, CONSTANTS).trials)


def test_a_trial_that_was_cut_off_runs_again_with_the_same_settings_and_seed(make_bench: MakeBench) -> None:
    whole = make_bench("whole", trials=4)
    tasks = whole.run_all()
    part = make_bench("part", trials=4)
    for number in range(5):
        part.run(f"t{number}")
    part.driver.suggest("cut")
    part.driver.receive("cut", part.message("cut", epochs=[1], end=False))
    part.ledger.close()

    resumed = make_bench("part", trials=4)
    resumed.driver.replay(part.events)
    assert resumed.run_all("u") == tasks[5:]
    tables = build_tables(resumed.events, CONSTANTS)
    assert tables.trials.equals(build_tables(whole.events, CONSTANTS).trials)
    assert len(tables.epochs) == 2 * 8
    assert [arm.budget.completed for arm in resumed.search.arms.values()] == [4, 4]


def test_a_search_that_was_cut_twice_is_still_the_same(make_bench: MakeBench) -> None:
    whole = make_bench("whole", trials=3)
    tasks = whole.run_all()
    handed_out: list[dict[str, Any]] = []
    for attempt in range(4):
        bench = make_bench("part", trials=3)
        bench.driver.replay(bench.events)
        for number in range(2):
            if (config := bench.run(f"{attempt}-{number}")) is not None:
                handed_out.append(config["task"])
        bench.driver.suggest(f"{attempt}-cut")
        bench.ledger.close()
    assert handed_out == tasks


def test_replayed_failures_are_counted(make_bench: MakeBench) -> None:
    first = make_bench("ledger")
    first.run("t0", accuracy=None)
    second = make_bench("ledger")
    second.driver.replay(first.events)
    assert (second.progress.failed, second.search.arms["cross_entropy/none"].budget.failed) == (1, 1)
    assert second.search.arms["cross_entropy/none"].issued == 1
