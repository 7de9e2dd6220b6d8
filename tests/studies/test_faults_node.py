"""A node of a real cluster dies with all its processes: its trials move to the others and finish with the numbers they would have had."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import studies
from studies.ledger import read_ledger
from tests.studies._clusters import cluster
from tests.studies._processes import command_line, wait_for
from tests.studies._real_runs import command, numbers, run_file

pytestmark = [pytest.mark.slow, pytest.mark.faults]

STUDY = """
question: Does a study survive the death of a node?
dataset: digits
train_images: 900
width: 4
methods: [cross_entropy, bsd]
conditions: [none, "symmetric:0.4"]
validation_labels: clean
trials: 1
epochs: 60
batch_size: 64
checkpoint_seconds: 0.2
evaluate: {corruptions: none}
confirm: none
"""


def test_the_trials_of_a_dead_node_move_and_finish(tmp_path: Path) -> None:
    study = tmp_path / "node.yaml"
    study.write_text(STUDY, encoding="utf-8")
    undisturbed = run_file(study, tmp_path / "undisturbed")
    assert undisturbed.code == 0, undisturbed.screen + undisturbed.errors
    results = tmp_path / "results"
    with cluster(3) as there:
        running = subprocess.Popen(
            command("run", str(study), "--results", str(results)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=there.environment(),
        )

        def three_at_work() -> bool:
            """Each node trains, and each training has a checkpoint."""
            busy = [node for node in range(3) if any("train" in command_line(pid) for pid in there.processes(node))]
            saved = {path.parent for path in results.glob("node/2*/checkpoints/*/step-*.pt")}
            return running.poll() is not None or (len(busy) == 3 and len(saved) == 3)

        wait_for(three_at_work, seconds=180, what="a trial with a checkpoint on each node")
        there.kill_node(2)
        screen, _ = running.communicate(timeout=240)
    assert running.returncode == 0, screen
    finished = studies.load("node", results=results)
    events = read_ledger(finished.path / "ledger.jsonl").events
    went_on = {event["trial_id"] for event in events if event["event"] == "note" and "it goes on from its checkpoint" in event["text"]}
    assert len(went_on) == 1, screen
    assert "it is started again" in screen
    assert numbers(finished) == numbers(undisturbed.run)
    ended = [event["trial_id"] for event in events if event["event"] == "end"]
    assert sorted(ended) == sorted(set(ended))
    assert finished.epochs.num_rows == 4 * 60
