"""A study that stops trials early, from suggestion to table; trials are played by hand, except in the last test."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from bsd_core.seeds import numpy_stream
from studies.driver import StudyDriver
from studies.halving import ParetoHalving
from studies.ledger import Event, Ledger, as_line, read_ledger
from studies.outcome import Outcome
from studies.progress import StudyProgress
from studies.search import StudySearch, Suggestion
from studies.spec import StudySpec
from studies.statistics.audit import audit_summary
from studies.tables import build_tables
from tests.studies._dummies import CONSTANTS, make_end, make_epoch, make_spec
from tests.studies._real_runs import run_file
from tests.studies.test_driver import SilentView

EPOCHS = 9


def make_stopping_spec(**changes: Any) -> StudySpec:
    """Two arms, each with the epochs of five full trainings; rungs at 2 and 6 of 9 epochs; half of the stopped trials are audited."""
    stopping = {"kind": "pareto_halving", "audit": 0.5}
    return make_spec(**{"trials": 5, "epochs": EPOCHS, "stopping": stopping, "confirm": "none", **changes})


class Played:
    """A study whose trials are made up: how good one is, and whether it diverges, follows from its seed and number."""

    def __init__(self, path: Path, spec: StudySpec | None = None, *, earlier: Sequence[Event] = ()) -> None:
        self.spec = spec or make_stopping_spec()
        self.search = StudySearch(self.spec, slots=1)
        self.progress = StudyProgress("mine", dict.fromkeys(self.search.arms, self.spec.trials), epochs=EPOCHS, slots=1)
        self.path = path
        path.write_bytes(b"".join(map(as_line, earlier)))
        self._ledger = Ledger(path)
        halving = ParetoHalving.of(self.spec)
        self.driver = StudyDriver(self.search, self._ledger, self.progress, SilentView(), halving=halving)
        self.driver.replay(list(earlier))

    @property
    def events(self) -> list[Event]:
        return read_ledger(self.path).events

    def run(self) -> None:
        """All that is left, one trial at a time."""
        for count in range(1000):
            if self.driver.suggest(f"t{count}") is None:
                break
            suggestion = self.driver._suggestions[f"t{count}"]
            any(self.driver.receive(f"t{count}", json.dumps([event])) for event in trial_events(suggestion))
            self.driver.complete(f"t{count}", died=False)
        self.close()

    def close(self) -> None:
        """Nothing more is to come."""
        self._ledger.close()


def trial_events(suggestion: Suggestion) -> Iterator[Event]:
    stream = numpy_stream(suggestion.seed, suggestion.arm.name)
    quality, wobble, diverges = stream.uniform(0.3, 1.0), stream.uniform(0, 0.2), stream.uniform() < 0.1
    so_far = {"trial_id": suggestion.trial_id, "node": "here", "total_epochs": EPOCHS}
    for epoch in range(1, EPOCHS + 1):
        accuracy = quality * (1 - math.exp(-epoch / 3))
        row = make_epoch(epoch, epochs=EPOCHS, val_accuracy=accuracy, val_ece=0.01 * epoch, val_nll=2.5 - 2 * accuracy + wobble)
        yield {"event": "epoch", "trial_id": suggestion.trial_id, **row, "so_far": {**so_far, "epochs": epoch}}
        if diverges and epoch == 5:
            yield {**make_end("", 0, None), **so_far, "epochs": epoch}
            return
    yield {**make_end("", 0, accuracy, ece=0.3 - 0.3 * wobble), **so_far, "epochs": EPOCHS}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """One whole study."""
    study = Played(tmp_path_factory.mktemp("stopping") / "ledger.jsonl")
    study.run()
    return study


def table(played: Played) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = build_tables(played.events, CONSTANTS).trials.to_pylist()
    return rows


# --- what the tables say


def test_all_kinds_of_end_occur_in_the_study_these_tests_look_at(played: Played) -> None:
    states = {(row["state"], row["audited"]) for row in table(played)}
    assert states == {("complete", False), ("failed", False), ("stopped", False), ("stopped", True)}
    assert {row["stopped_at"] for row in table(played)} == {None, 2, 6}


def test_stopped_trials_keep_what_they_measured_last_and_are_never_on_a_front(played: Played) -> None:
    last = {event["trial_id"]: event["rows"][-1] for event in played.events if event["event"] == "epochs"}
    stopped = [row for row in table(played) if row["state"] == "stopped" and not row["audited"] and row["error"] is None]
    for row in stopped:
        assert row["epochs"] == row["stopped_at"] == last[row["trial_id"]]["epoch"]
        assert [row[name] for name in ("val_accuracy", "val_ece", "val_nll")] == [
            last[row["trial_id"]][name] for name in ("val_accuracy", "val_ece", "val_nll")
        ]
        assert (row["on_front"], row["val_brier"], row["node"], row["error"]) == (False, None, "here", None)
    best_ece = min(row["val_ece"] for row in table(played) if row["state"] == "complete")
    assert all(row["val_ece"] < best_ece for row in stopped)  # each would stand on its front if it could


def test_audited_trials_run_to_their_end_and_are_never_on_a_front(played: Played) -> None:
    audited = [row for row in table(played) if row["audited"]]
    assert {row["state"] for row in audited} == {"stopped"}
    assert {row["on_front"] for row in audited} == {False}
    whole = [row for row in audited if row["error"] is None]
    assert {row["epochs"] for row in whole} == {EPOCHS}
    assert all(row["stopped_at"] < EPOCHS and row["val_brier"] is not None for row in whole)


def test_the_end_of_a_stopped_trial_is_on_the_disk_before_the_search_is_told(tmp_path: Path) -> None:
    study = Played(tmp_path / "ledger.jsonl")
    stopped = False
    while not stopped:
        study.driver.suggest("t")
        suggestion = study.driver._suggestions["t"]
        arm = study.search.arms[suggestion.arm.name]
        stopped = any(study.driver.receive("t", json.dumps([event])) for event in trial_events(suggestion))
        last, before = study.events[-1], arm.budget.stopped
        study.driver.complete("t", died=False)
    study.close()
    assert (last["event"], last["trial_id"], last["state"]) == ("end", suggestion.trial_id, "stopped")
    assert arm.budget.stopped == before + 1


# --- budgets


def epochs_spent(rows: list[dict[str, Any]]) -> int:
    """Without what audits cost beyond the stop."""
    return sum(row["stopped_at"] if row["state"] == "stopped" else row["epochs"] for row in rows)


def test_budgets_are_equal_in_epochs_within_one_training(played: Played) -> None:
    for name, arm in played.search.arms.items():
        spent = epochs_spent([row for row in table(played) if row["arm"] == name])
        assert 4 * EPOCHS < spent <= 5 * EPOCHS
        assert arm.budget.spent == Fraction(spent, EPOCHS)
        assert arm.issued > 5
        assert not arm.gave_up
    assert played.search.done


def test_an_arm_that_only_fails_gives_up_also_with_stopping() -> None:
    search = StudySearch(make_stopping_spec(methods=["bsd"]), slots=1)
    while (suggestion := search.next()) is not None:
        search.tell("bsd/none", suggestion.number, Outcome(values=None, share=Fraction(1, 100)))
    assert search.done
    assert (search.arms["bsd/none"].budget.failed, search.arms["bsd/none"].gave_up) == (5, True)


def test_a_running_trial_reserves_a_full_training() -> None:
    search = StudySearch(make_stopping_spec(methods=["bsd"], trials=2), slots=8)
    first, second = search.next(), search.next()
    assert first is not None
    assert second is not None
    assert search.next() is None
    search.tell("bsd/none", first.number, Outcome(values=None, stopped=True, share=Fraction(1, 9)))
    assert search.next() is None  # 1/9 is spent and 1 reserved: 8/9 are left, not enough for a full training
    search.tell("bsd/none", second.number, Outcome(values=None, stopped=True, share=Fraction(1, 9)))
    assert search.next() is not None


def test_progress_counts_stopped_trials_by_what_they_cost(played: Played) -> None:
    assert played.progress.finished == sum(arm.budget.spent - failed_share(arm.arm.name, played) for arm in played.search.arms.values())
    assert played.progress.arms["bsd/none"].stopped == played.search.arms["bsd/none"].budget.stopped


def failed_share(arm: str, played: Played) -> Fraction:
    return sum((Fraction(row["epochs"], EPOCHS) for row in table(played) if row["arm"] == arm and row["state"] == "failed"), Fraction(0))


# --- Optuna


def test_optuna_hears_of_stopped_trials_as_pruned(played: Played) -> None:
    states = {"complete": TrialState.COMPLETE, "failed": TrialState.FAIL, "stopped": TrialState.PRUNED}
    for name, arm in played.search.arms.items():
        told = {trial.user_attrs["number"]: trial.state for trial in arm.study.get_trials(deepcopy=False)}
        assert told == {row["trial_number"]: states[row["state"]] for row in table(played) if row["arm"] == name}
        assert {trial.state for trial in arm.study.best_trials} == {TrialState.COMPLETE}


# --- interruptions


def story(events: list[Event]) -> dict[str, Any]:
    """What happened to each trial, whatever was interrupted and repeated."""
    suggested = {event["trial_id"]: event for event in events if event["event"] == "suggest"}
    ended = {event["trial_id"]: event for event in events if event["event"] == "end"}
    return {name: (suggested[name]["params"], suggested[name]["seed"], ended[name]) for name in suggested}


def test_a_study_cut_at_any_event_goes_on_as_the_undisturbed_one(played: Played, tmp_path: Path) -> None:
    events = played.events
    for cut in range(len(events)):
        resumed = Played(tmp_path / f"{cut}.jsonl", earlier=events[:cut])
        resumed.run()
        assert story(resumed.events) == story(events), f"cut after {cut} of {len(events)} events"
        assert resumed.driver._halving == played.driver._halving


# --- on a real Ray

REAL = """
question: Who falls behind?
dataset: digits
train_images: 900
width: 4
methods: [cross_entropy, bsd]
conditions: ["symmetric:0.4"]
validation_labels: clean
trials: 4
epochs: 9
batch_size: 64
evaluate: {corruptions: none}
stopping: {kind: pareto_halving, audit: 0.5}
confirm: none
"""


@pytest.mark.slow
def test_a_real_study_stops_trials_and_spends_equal_epochs(tmp_path: Path) -> None:
    path = tmp_path / "real.yaml"
    path.write_text(REAL, encoding="utf-8")
    finished = run_file(path, tmp_path / "results")
    assert finished.code == 0, finished.errors
    rows = finished.run.trials.to_pylist()
    stopped = [row for row in rows if row["state"] == "stopped"]
    n_epochs = Counter(finished.run.epochs["trial_id"].to_pylist())
    assert {row["audited"] for row in stopped} == {False, True}
    for row in stopped:
        assert n_epochs[row["trial_id"]] == row["epochs"] == (9 if row["audited"] else row["stopped_at"])
        assert row["stopped_at"] in (2, 6)
        assert not row["on_front"]
        assert row["noise_fingerprint"] == rows[0]["noise_fingerprint"]  # also where the process did not come to send an end
    for arm in ("cross_entropy/symmetric_40", "bsd/symmetric_40"):
        own = [row for row in rows if row["arm"] == arm]
        assert 3 * 9 < epochs_spent(own) <= 4 * 9
        assert any(row["on_front"] for row in own)
    summary = audit_summary(rows)
    assert sum(arm.n_stopped for arm in summary.values()) == len(stopped)
