"""What goes wrong inside of trials, on a real local Ray: it is recorded with its reason, replaced, and touches no other trial."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

import studies
from studies.prepare import prepare
from studies.retrain import SAME, retrain
from studies.run_folder import RunFolder
from studies.trial_data import fingerprint
from tests.studies._injected import injected, log_lines
from tests.studies._processes import alive, wait_for
from tests.studies._real_runs import Finished, start

pytestmark = [pytest.mark.slow, pytest.mark.faults]

STUDY = """
question: Does a study survive what goes wrong in its trials?
dataset: digits
train_images: 900
width: 4
methods: [cross_entropy, bsd]
conditions: ["symmetric:0.4"]
validation_labels: clean
trials: 4
epochs: 4
batch_size: 64
checkpoint_seconds: 0
trial_timeout: 20
evaluate: {corruptions: none}
confirm: none
"""
CE, BSD = "cross_entropy-symmetric_40", "bsd-symmetric_40"
FAULTS = {
    f"{CE}-0000": "hang",
    f"{CE}-0002": "ask_for_a_petabyte",
    f"{BSD}-0000": "write_to_images",
    f"{BSD}-0001": "lose_its_weights",
    f"{BSD}-0002": "write_to_labels_past_torch",
}
REASONS = {
    "hang": "timed out: it had not ended after trial_timeout=20 seconds",
    "ask_for_a_petabyte": "out of memory: ",
    "write_to_images": "The training changed its data (train_images), which no method may do.",
    "lose_its_weights": "diverged: The training loss was",
    "write_to_labels_past_torch": "The training changed its data (labels of train in symmetric_40), which no method may do.",
}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "log"


@pytest.fixture(scope="module")
def finished(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A study in which all of that happens, and which cannot write checkpoints: a file is where their folder should be."""
    folder = tmp_path_factory.mktemp("within")
    (folder / "within.yaml").write_text(STUDY, encoding="utf-8")
    with injected(log, FAULTS), start(folder / "within.yaml", folder / "results") as process:
        try:
            (run,) = wait_for(lambda: list(folder.glob("results/*/2*")), seconds=240, what="the run's folder")
            (run / "checkpoints").write_text("in the way", encoding="utf-8")
            screen, _ = process.communicate(timeout=600)
        finally:
            process.kill()
    return Finished(process.returncode, screen, "", studies.load("within", results=folder / "results"))


def trials(finished: Finished, state: str) -> dict[str, dict[str, Any]]:
    return {row["trial_id"]: row for row in finished.run.trials.to_pylist() if row["state"] == state}


def flat(screen: str) -> str:
    """Without the line breaks of a screen of 80 columns."""
    return " ".join(screen.split())


def test_every_fault_is_recorded_with_its_reason_and_shown(finished: Finished) -> None:
    failed = trials(finished, "failed")
    assert set(failed) == set(FAULTS)
    for trial_id, fault in FAULTS.items():
        assert REASONS[fault] in failed[trial_id]["error"]
        assert failed[trial_id]["val_accuracy"] is None
        assert f"{trial_id} failed: " in flat(finished.screen)


def test_failures_are_replaced_so_that_budgets_are_equal(finished: Finished) -> None:
    assert finished.code == 0, finished.screen
    complete = trials(finished, "complete")
    assert Counter(row["arm"] for row in complete.values()) == {"cross_entropy/symmetric_40": 4, "bsd/symmetric_40": 4}
    assert {(row["epochs"], row["images_seen"]) for row in complete.values()} == {(4, 4 * 720)}
    assert {int(trial_id[-4:]) for trial_id in complete if trial_id.startswith(BSD)} == {3, 4, 5, 6}


def test_the_process_that_hung_is_gone(finished: Finished, log: Path) -> None:
    hung = [line["pid"] for line in log_lines(log, "trial") if FAULTS.get(line["trial"]) == "hang"]
    assert len(hung) == 1
    assert alive(hung) == []
    others = [line for line in log_lines(log, "trial") if line["trial"].startswith(CE) and line["pid"] not in hung]
    assert len(others) == 5  # the arm went on


def test_data_in_the_object_store_stay_as_they_were(finished: Finished, log: Path) -> None:
    run = RunFolder("within", finished.run.path)
    data = prepare(run.spec()).data
    own = fingerprint(data.train_images, data.train_targets, data.val_images, data.val_targets, data.shifted_rows)
    assert [line["store"] for line in log_lines(log, "trial")] == [own] * 13


def test_no_other_trial_has_other_numbers_than_by_itself(finished: Finished, log: Path) -> None:
    """Some of them had a process right after a trial that wrote to its data."""
    threads = torch.get_num_threads()
    started = [(line["trial"], line["pid"]) for line in log_lines(log, "trial")]
    writers = [place for place, (trial_id, _) in enumerate(started) if FAULTS.get(trial_id, "").startswith("write_")]
    complete = trials(finished, "complete")
    assert all(any(pid == started[writer][1] and trial in complete for trial, pid in started[writer:]) for writer in writers)
    out = io.StringIO()
    try:
        codes = {trial_id: retrain(RunFolder("within", finished.run.path), trial_id, Console(file=out)) for trial_id in complete}
    finally:
        torch.set_num_threads(threads)
    assert codes == dict.fromkeys(complete, SAME), out.getvalue()


def test_a_study_that_cannot_write_checkpoints_goes_on_and_says_so_once(finished: Finished) -> None:
    assert flat(finished.screen).count("no checkpoints: ") == 1
    assert "a trial whose process dies will start again" in flat(finished.screen)
    assert (finished.run.path / "checkpoints").read_text(encoding="utf-8") == "in the way"
