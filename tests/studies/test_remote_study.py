"""Real studies on a real local Ray whose results are on a real S3 server: what is true of a folder is true there, whatever dies."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import studies
from studies.ledger import Event, read_ledger
from studies.remote_ledger import join_parts
from studies.remote_uri import open_remote
from studies.run import run_study
from studies.study_file import load_spec
from tests.studies._played_runs import played_here
from tests.studies._processes import wait_for
from tests.studies._real_runs import call, command, environment, numbers
from tests.studies._s3 import BUCKET, KEYS, Store, Way

pytestmark = [pytest.mark.slow, pytest.mark.faults]

STUDY = """
question: Is anything lost, and is anything counted twice?
dataset: digits
train_images: 300
width: 4
methods: [cross_entropy, bsd]
conditions: ["symmetric:0.4"]
trials: 2
epochs: 50
batch_size: 32
checkpoint_seconds: 0.5
evaluate: {corruptions: contrast, severities: [2], images: 60}
confirm: {points: best_accuracy, operating_points: false, seeds: 2, corruptions: contrast, severities: [1], images: 60}
"""
N_STEPS = 50 * 8  # of a training: 240 images in batches of 32


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Commands run on a machine of this name from then on: its cache is its own."""

    def use(name: str) -> Path:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        return tmp_path / name

    return use


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "mine.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def undisturbed(study: Path) -> studies.Run:
    """The same study in a folder, to which nothing happens; played in this process, which gives the same numbers as Ray does."""
    with played_here():
        assert run_study("mine", load_spec(study, []), study.parent / "results") == 0
    return studies.load("mine", results=study.parent / "results")


def start(study: Path, uri: str) -> subprocess.Popen[str]:
    arguments = command("run", str(study), "--results", uri)
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(), start_new_session=True
    )


def events_in(cache: Path) -> list[Event]:
    return [event for ledger in cache.glob("bsd-study/*/mine/2*/ledger.jsonl") for event in read_ledger(ledger).events]


def ended(events: list[Event]) -> list[str]:
    return [event["trial_id"] for event in events if event["event"] == "end"]


def wait_for_ends(number: int, cache: Path, process: subprocess.Popen[str]) -> None:
    def enough() -> bool:
        assert process.poll() is None, process.communicate()[0]
        return len(ended(events_in(cache))) >= number

    wait_for(enough, seconds=240, what=f"{number} trials to end")


def half_way(uri: str, cache: Path) -> bool:
    """Whether a trial that is far from its end has a checkpoint in the store."""
    steps = [re.search(r"/checkpoints/(.*)/step-(\d+)\.pt", name) for name in open_remote(uri).files()]
    newest = {found[1]: int(found[2]) for found in steps if found is not None}
    over = ended(events_in(cache))
    return any(step < N_STEPS / 2 for trial_id, step in newest.items() if trial_id not in over)


def epochs_of(run: studies.Run) -> list[dict[str, Any]]:
    rows = run.epochs.drop_columns(["seconds"]).to_pylist()
    return sorted(rows, key=lambda row: (row["trial_id"], row["epoch"]))


def check_equal(uri: str, undisturbed: studies.Run) -> None:
    """Nothing is lost, run again after its end, or counted twice."""
    run = studies.load("mine", results=uri)
    assert Counter(ended(read_ledger(run.path / "ledger.jsonl").events)) == Counter(undisturbed.trials["trial_id"].to_pylist())
    assert sorted(numbers(run), key=lambda row: row["trial_id"]) == sorted(numbers(undisturbed), key=lambda row: row["trial_id"])
    assert epochs_of(run) == epochs_of(undisturbed)
    for path in sorted((undisturbed.path / "tables" / "predictions").iterdir()):
        assert (run.path / "tables" / "predictions" / path.name).read_bytes() == path.read_bytes()


def test_the_machine_of_the_driver_is_lost_and_another_one_goes_on(
    study: Path, undisturbed: studies.Run, store: Store, machine: Callable[[str], Path], tmp_path: Path
) -> None:
    uri = store.uri()
    cache = machine("first")
    with start(study, uri) as process:
        wait_for_ends(1, cache, process)
        wait_for(lambda: half_way(uri, cache), seconds=240, what="a checkpoint")
        os.killpg(process.pid, signal.SIGSTOP)  # it holds its run, and gets no further
        machine("second")
        refused = call("resume", "mine", "--results", uri)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert f"is still at work in process {process.pid} of " in refused.stderr
        assert refused.stderr.count("\n") == 1
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    told = ended(events_in(cache))
    shutil.rmtree(cache)

    resumed = call("resume", "mine", "--results", uri)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert f" in s3://{BUCKET}/" in resumed.stdout
    assert "bsd-study" not in resumed.stdout, "the cache is nobody's business"
    folder = open_remote(uri)
    run_id = (folder.get("mine/latest") or b"").decode()
    content = join_parts(folder / "mine" / run_id / "ledger").content
    assert set(told[:-1]) <= {json.loads(line).get("trial_id") for line in content.splitlines()}  # of the last one the search was not told
    names = {name.split("/")[2] for name in folder.files() if name.startswith(f"mine/{run_id}/")}
    assert names == {"study.yaml", "provenance.json", "ledger", "optuna.journal", "run.log", "tables", "labels", "report"}
    notes = [event["text"] for event in events_in(tmp_path / "second") if event["event"] == "note"]
    assert any(note.startswith("it goes on from its checkpoint") for note in notes)

    machine("third")
    check_equal(uri, undisturbed)
    for arguments in (("front",), ("report",), ("verify",)):
        done = call(*arguments, "mine", "--results", uri)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    trial = undisturbed.trials["trial_id"][0].as_py()
    done = call("retrain", str(folder / "mine" / run_id), trial)
    assert done.returncode == 0, done.stdout + done.stderr
    for secret in KEYS.values():
        found = [path for path in study.parent.parent.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
        assert secret == "true" or not found


def test_a_store_that_goes_away_stops_the_study_with_one_line_and_it_goes_on_when_the_store_is_back(
    study: Path, undisturbed: studies.Run, store: Store, machine: Callable[[str], Path]
) -> None:
    way = Way(store.port)
    uri, cache = store.uri("cut", port=way.port), machine("first")
    code = "import sys; import studies.remote_folder as r; r.PATIENCE_SECONDS = 2; from studies.cli import main; main()"
    arguments = [sys.executable, "-c", code, "run", str(study), "--results", uri]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()) as process:
        wait_for_ends(1, cache, process)
        way.cut()
        screen, errors = process.communicate(timeout=240)
    assert (process.returncode, errors) == (1, ""), screen + errors
    failed = [line for line in screen.splitlines() if line.startswith("The run failed: ")]
    assert len(failed) == 1
    assert failed[0].startswith(f"The run failed: Cannot write 's3://{BUCKET}/cut/mine/")
    assert f" -m studies resume 's3://{BUCKET}/cut/mine/2" in failed[0]
    assert failed[0] == screen.splitlines()[-1]
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in screen
    unreachable = call("resume", "mine", "--results", uri)
    assert (unreachable.returncode, unreachable.stdout) == (2, "")
    way.mend()
    before = ended(events_in(cache))
    resumed = call("resume", "mine", "--results", uri)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert ended(events_in(cache))[: len(before)] == before
    machine("other")
    check_equal(uri, undisturbed)
    way.cut()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_there_is_is_in_the_store_when_a_run_is_ended(
    number: int, code: int, study: Path, store: Store, machine: Callable[[str], Path]
) -> None:
    uri, cache = store.uri(), machine("first")
    with start(study, uri) as process:
        wait_for_ends(1, cache, process)
        begun = time.monotonic()
        process.send_signal(number)
        screen = process.communicate(timeout=60)[0]
        assert time.monotonic() - begun < 30
    assert process.returncode == code
    assert f"Finish the run with: {Path(sys.executable)}" in screen or "Finish the run with: .venv" in screen
    assert f"resume 's3://{BUCKET}/" in screen.splitlines()[-1]
    machine("other")
    assert len(ended(read_ledger(studies.load("mine", results=uri).path / "ledger.jsonl").events)) >= 1
    assert "lease.json" not in " ".join(open_remote(uri).files())


@pytest.mark.parametrize(
    ("uri", "match"),
    [
        ("{no_bucket}", "Cannot write 's3://no-such-bucket/"),
        ("{nobody}", "NETWORK_CONNECTION"),
        ("ftp://host/results", "Results go to a folder, to s3://bucket/folder or"),
        ("s3://key:hidden@bucket/results", "Put credentials into the environment"),
    ],
)
def test_a_place_that_cannot_be_is_refused_before_anything_starts(
    uri: str, match: str, store: Store, machine: Callable[[str], Path], tmp_path: Path
) -> None:
    machine("first")
    uri = uri.format(no_bucket=store.uri("x").replace(BUCKET, "no-such-bucket"), nobody=store.uri("x", port=1))
    begun = time.monotonic()
    done = call("run", "quick", "--results", uri)
    assert time.monotonic() - begun < 60  # most of it is Python's imports
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert match in done.stderr
    assert "hidden" not in done.stderr
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in done.stderr
    assert not (tmp_path / "first").exists()
