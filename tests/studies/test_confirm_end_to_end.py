"""A study with its confirm phase on a real local Ray: what is confirmed, what can be seen when, and what a broken run becomes."""

import json
import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import studies
from studies.features import read_features
from studies.prepare import PreparedStudy, prepare
from studies.study_file import load_spec
from tests.studies._real_runs import Finished, call, first_event, numbers, run_file, start

pytestmark = pytest.mark.slow

STUDY = """
question: Do chosen settings hold on test images?
dataset: digits
train_images: 900
width: 4
methods: [cross_entropy, bsd]
conditions: [none, "symmetric:0.4"]
validation_labels: clean
baseline: random
trials: 2
epochs: 4
batch_size: 64
evaluate: {corruptions: none}
confirm: {at_most: 1, seeds: 3, operating_points: false, corruptions: [fog, pixelate], severities: [2, 4],
  perturbations: [rotate], images: 50}
"""


def write_study(folder: Path) -> Path:
    path = folder / "confirmed.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("confirmed")
    return run_file(write_study(folder), folder / "results")


def rows(finished: Finished, phase: str) -> list[dict[str, Any]]:
    assert finished.code == 0, finished.errors
    return [row for row in finished.run.trials.to_pylist() if row["phase"] == phase]


def test_each_arm_confirms_a_setting_with_every_seed_and_baselines_do_not(finished: Finished) -> None:
    confirmed = rows(finished, "confirm")
    assert Counter(row["arm"] for row in confirmed) == dict.fromkeys(
        ["cross_entropy/none", "bsd/none", "cross_entropy/symmetric_40", "bsd/symmetric_40"], 3
    )
    assert len({row["seed"] for row in confirmed}) == 3
    assert not {row["seed"] for row in confirmed} & {row["seed"] for row in rows(finished, "search")}
    searched = {row["trial_id"]: row for row in rows(finished, "search")}
    settings = [name for name in finished.run.trials.column_names if name.startswith("param_")]
    for row in confirmed:
        original = searched[row["confirms"]]
        assert "best_accuracy" in original["chosen_as"]
        assert {name: row[name] for name in settings} == {name: original[name] for name in settings}


def test_the_noise_is_fresh_and_equal_in_all_methods(finished: Finished) -> None:
    noisy = [row for row in rows(finished, "confirm") if row["condition"] == "symmetric_40"]
    labels = {row["replicate"]: row["noise_fingerprint"] for row in noisy}
    assert len(set(labels.values())) == 3
    assert all(row["noise_fingerprint"] == labels[row["replicate"]] for row in noisy)
    searched = {row["noise_fingerprint"] for row in rows(finished, "search") if row["condition"] == "symmetric_40"}
    assert not searched & set(labels.values())


def test_test_columns_belong_to_the_confirm_phase_alone(finished: Finished) -> None:
    for row in rows(finished, "search"):
        assert [name for name in row if name.startswith("test_") and row[name] is not None] == []
    for row in rows(finished, "confirm"):
        assert 0 <= row["test_accuracy_low"] <= row["test_accuracy"] <= row["test_accuracy_high"] <= 1
        assert 0 <= row["test_ece_low"] <= row["test_ece"] <= row["test_ece_high"] <= 1
        assert row["on_front"] is False
    splits = {(row["phase"], row["split"]) for row in finished.run.evaluations.to_pylist()}
    assert splits == {
        ("search", "val"),
        ("search", "val_noisy_labels"),
        ("confirm", "val"),
        ("confirm", "val_noisy_labels"),
        ("confirm", "test"),
    }


def test_the_test_split_is_shown_clean_corrupted_and_perturbed(finished: Finished) -> None:
    shown = Counter(
        (row["shift"], row["name"], row["severity"], row["n"]) for row in finished.run.evaluations.to_pylist() if row["split"] == "test"
    )
    corrupted = {("corruption", name, severity, 50): 12 for name in ("fog", "pixelate") for severity in (2, 4)}
    assert shown == {("clean", "clean", 0, 359): 12, ("perturbation", "rotate", 1, 50): 12, **corrupted}


def test_predictions_are_kept_of_clean_images(finished: Finished) -> None:
    folder = finished.run.path / "tables" / "predictions"
    confirmed = {row["trial_id"]: row for row in rows(finished, "confirm")}
    assert {path.stem for path in folder.iterdir()} == set(confirmed)
    for trial_id, row in confirmed.items():
        table = pq.read_table(folder / f"{trial_id}.parquet")
        test = [entry for entry in table.to_pylist() if entry["split"] == "test"]
        assert len(test) == 359
        assert sum(entry["predicted"] == entry["target"] for entry in test) / 359 == row["test_accuracy"]


def test_features_are_kept_of_first_trainings(finished: Finished) -> None:
    first = {row["trial_id"]: row["confirms"] for row in rows(finished, "confirm") if row["replicate"] == 0}
    assert {path.stem for path in (finished.run.path / "tables" / "features").iterdir()} == set(first)
    stored = [read_features(finished.run.path / "tables" / "features" / f"{trial_id}.parquet") for trial_id in first]
    assert {len(one.rows) for one in stored} == {359}
    assert all((one.targets == stored[0].targets).all() for one in stored)


def test_the_choice_is_in_the_ledger_before_the_first_training_of_the_phase(finished: Finished) -> None:
    events = [json.loads(line) for line in (finished.run.path / "ledger.jsonl").read_text(encoding="utf-8").splitlines()]
    (opened,) = [number for number, event in enumerate(events) if event["event"] == "confirm"]
    assert {event["phase"] for event in events[:opened] if event["event"] == "suggest"} == {"search"}
    assert {event["phase"] for event in events[opened:] if event["event"] == "suggest"} == {"confirm"}
    assert set(events[opened]["chosen"]) == {row["trial_id"] for row in rows(finished, "search") if row["chosen_as"]}


def test_random_twins_start_with_the_published_settings(finished: Finished) -> None:
    searched = rows(finished, "search")
    by_arm = {arm: [row for row in searched if row["arm"] == arm] for arm in ("bsd/none", "bsd/none/random")}
    assert {row["sampler"] for row in by_arm["bsd/none/random"]} == {"random"}
    settings = [
        [{name: row[name] for name in row if name.startswith("param_")} for row in by_arm[arm]] for arm in ("bsd/none", "bsd/none/random")
    ]
    assert settings[0] == settings[1]  # two trials: both are published ones


def test_verify_finds_nothing_and_names_an_edited_number(finished: Finished, tmp_path: Path) -> None:
    assert finished.code == 0
    done = call("verify", str(finished.run.path))
    assert done.returncode == 0, done.stdout + done.stderr
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(finished.run.path), str(copy)], check=True)
    path = copy / "tables" / "trials.parquet"
    table = pq.read_table(path)
    column = table.column_names.index("test_ece")
    values = table["test_ece"].to_pylist()
    place = next(index for index, value in enumerate(values) if value is not None)
    values[place] += 1e-4
    edited = table.set_column(column, table.schema.field(column), [values])
    pq.write_table(edited, path)
    done = call("verify", str(copy))
    assert done.returncode == 1, done.stdout
    assert "test_ece" in done.stdout
    assert table["trial_id"].to_pylist()[place] in done.stdout


@pytest.mark.parametrize("phase", ["search", "confirm"])
def test_a_trial_is_reproduced_outside_ray(finished: Finished, phase: str) -> None:
    trial = next(row["trial_id"] for row in rows(finished, phase) if row["arm"] == "bsd/symmetric_40")
    done = call("retrain", str(finished.run.path), trial)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "same numbers" in done.stdout


@pytest.mark.faults
def test_a_run_that_is_interrupted_while_it_confirms_resumes_to_the_same_numbers(finished: Finished, tmp_path: Path) -> None:
    study, results = write_study(tmp_path), tmp_path / "results"
    process = start(study, results)
    first_event("end", process, results, suffix="-confirm-0")
    process.send_signal(signal.SIGINT)
    screen, _ = process.communicate(timeout=60)
    assert process.returncode == 130, screen
    left = studies.load("confirmed", results=results).trials.to_pylist()
    assert 0 < sum(row["phase"] == "confirm" for row in left) < 12
    done = call("resume", "confirmed", "--results", str(results))
    assert done.returncode == 0, done.stderr
    assert numbers(studies.load("confirmed", results=results)) == numbers(finished.run)


# --- what is in Ray's memory


def object_stores(root: int) -> Iterator[bytes]:
    """The contents of the object stores of the Ray processes under process `root`."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(encoding="utf-8")
                parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
            except OSError:
                continue
    family = {root}
    for _ in range(5):
        family |= {child for child, parent in parents.items() if parent in family}
    for process in family:
        try:
            links = list(Path(f"/proc/{process}/fd").iterdir())
            names = {link: os.readlink(link) for link in links}
        except OSError:
            continue
        if "raylet" in Path(f"/proc/{process}/cmdline").read_text(encoding="utf-8", errors="replace").split("\0")[0]:
            for link, name in names.items():
                if re.match(r"/dev/shm/plasma", name):
                    yield link.read_bytes()


def needles(prepared: PreparedStudy) -> tuple[list[bytes], list[bytes]]:
    """Stretches of pixels, of training images and of test images, each of three images that follow each other."""

    def stretches(images: Any) -> list[bytes]:
        return [images[start:end].tobytes() for start, end in pairwise(range(0, 24, 3))]

    return stretches(prepared.data.train_images), stretches(prepared.source.test.images)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to look into another process's memory")
def test_the_object_store_holds_no_test_image_before_the_confirm_phase(tmp_path: Path) -> None:
    study, results = write_study(tmp_path), tmp_path / "results"
    train, test = needles(prepare(load_spec(study, [])))
    assert not set(train) & set(test)
    overrides = ["methods=bsd", "conditions=none", "baseline=none", "confirm.seeds=2", "epochs=20", "trials=6"]
    with start(study, results, *overrides) as process:

        def found() -> tuple[int, int]:
            """How many stretches of training and of test images are in memory."""
            memory = b"".join(object_stores(process.pid))
            return sum(stretch in memory for stretch in train), sum(stretch in memory for stretch in test)

        try:
            first_event("epochs", process, results)
            ledger = next(results.glob("confirmed/2*/ledger.jsonl"))
            looks = []
            while '"event":"confirm"' not in ledger.read_text(encoding="utf-8"):
                assert process.poll() is None
                looks.append(found())
            assert len(looks) > 1, "the search was over before anybody looked twice"
            assert set(looks[:-1]) == {(len(train), 0)}  # during the last look the confirm phase may have begun
            first_event("epochs", process, results, suffix="-confirm-0")
            assert found() == (len(train), len(test))
            screen, _ = process.communicate(timeout=240)
            assert process.returncode == 0, screen
        finally:
            process.kill()
