"""Real studies on a real local Ray, run as a user runs them: a process, its exit code, its screen and its files."""

import json
import os
import signal
from collections import Counter
from pathlib import Path

import optuna
import pyarrow.parquet as pq
import pytest

import studies
from studies.tables import SCHEMA_VERSION
from tests.studies._processes import alive, descendants, wait_for
from tests.studies._real_runs import Finished, call, first_event, numbers, run_file, start

pytestmark = pytest.mark.slow

TINY = """
question: Does the road hold from a file to a front?
dataset: digits
train_images: 900
width: 4
methods: [cross_entropy, bsd]
conditions: [none, "symmetric:0.4"]
validation_labels: clean
trials: 2
epochs: 8
batch_size: 64
evaluate: {corruptions: gaussian_noise, severities: [2, 4], perturbations: rotate, images: 40}
confirm: none
"""
ARMS = ["cross_entropy/none", "bsd/none", "cross_entropy/symmetric_40", "bsd/symmetric_40"]


def write_study(folder: Path) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return path


def run_tiny(folder: Path, *overrides: str) -> Finished:
    return run_file(write_study(folder), folder / "results", *overrides)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return run_tiny(tmp_path_factory.mktemp("tiny"))


def test_every_arm_gets_the_same_budget(finished: Finished) -> None:
    assert finished.code == 0, finished.errors
    trials = finished.run.trials.to_pylist()
    assert Counter(row["arm"] for row in trials) == dict.fromkeys(ARMS, 2)
    assert {(row["state"], row["epochs"], row["phase"]) for row in trials} == {("complete", 8, "search")}
    assert {row["images_seen"] for row in trials} == {8 * 720}


def test_seeds_are_recorded_and_arms_are_compared_on_equal_ones(finished: Finished) -> None:
    seeds = {arm: [row["seed"] for row in finished.run.trials.to_pylist() if row["arm"] == arm] for arm in ARMS}
    assert len({tuple(own) for own in seeds.values()}) == 1
    assert len(set(seeds["bsd/none"])) == 2


def test_published_settings_come_first_in_each_arm(finished: Finished) -> None:
    first = {row["arm"]: row for row in finished.run.trials.to_pylist() if row["trial_number"] == 0}
    assert first["bsd/none"]["param_prior_strength"] == 10.0
    assert first["bsd/none"]["param_learning_rate"] == 0.1
    assert first["cross_entropy/none"]["param_prior_strength"] is None


def test_tables_hold_every_epoch_and_every_evaluation(finished: Finished) -> None:
    run = finished.run
    assert Counter(run.epochs["trial_id"].to_pylist()) == dict.fromkeys(run.trials["trial_id"].to_pylist(), 8)
    by_trial = Counter((row["split"], row["shift"], row["name"], row["severity"], row["n"]) for row in run.evaluations.to_pylist())
    assert by_trial == {
        ("val", "clean", "clean", 0, 180): 8,
        ("val_noisy_labels", "clean", "clean", 0, 180): 8,
        ("val", "corruption", "gaussian_noise", 2, 40): 8,
        ("val", "corruption", "gaussian_noise", 4, 40): 8,
        ("val", "perturbation", "rotate", 1, 40): 8,
    }
    assert run.reliability.num_rows == 8 * 4 * 15


def test_robustness_is_summed_up_from_the_rows_of_a_trial(finished: Finished) -> None:
    rows = finished.run.evaluations.to_pylist()
    for trial in finished.run.trials.to_pylist():
        own = [row for row in rows if row["trial_id"] == trial["trial_id"]]
        corrupted = [row for row in own if row["shift"] == "corruption"]
        assert trial["val_corrupted_accuracy"] == pytest.approx(sum(row["accuracy"] for row in corrupted) / 2)
        assert trial["val_mean_corruption_error"] == pytest.approx(1 - trial["val_corrupted_accuracy"])
        assert trial["val_worst_corruption"] == "gaussian_noise"
        assert trial["val_flip_probability"] == next(row["flip_probability"] for row in own if row["shift"] == "perturbation")
        assert trial["val_corruption_error_vs_cross_entropy"] is not None


@pytest.mark.faults
def test_another_study_trains_on_the_labels_of_this_one_and_looks_for_other_objectives(finished: Finished, tmp_path: Path) -> None:
    labels = finished.run.path / "labels" / "symmetric_40.parquet"
    assert sorted(path.name for path in labels.parent.iterdir()) == ["symmetric_40.parquet"]
    objectives = "objectives=val_corrupted_accuracy,val_corrupted_ece"
    second = run_tiny(tmp_path, f"conditions=saved:{labels},instance:0.3", objectives, "methods=bsd", "epochs=2", "trials=2")
    assert second.code == 0, second.errors
    trials = second.run.trials.to_pylist()
    assert {(row["condition"], row["noise_kind"]) for row in trials} == {
        ("saved_symmetric_40", "saved"),
        ("instance_30", "instance"),
    }
    saved = [row for row in trials if row["noise_kind"] == "saved"]
    assert {(row["n_wrong_labels"], row["noise_rate"]) for row in saved} == {(288, 0.4)}
    for arm in {row["arm"] for row in trials}:
        first, other = (row for row in trials if row["arm"] == arm)
        beaten = (
            first["val_corrupted_accuracy"] <= other["val_corrupted_accuracy"] and first["val_corrupted_ece"] > other["val_corrupted_ece"]
        )
        assert not (beaten and first["on_front"])
        assert first["objectives"] == "val_corrupted_accuracy, val_corrupted_ece"
    ours, theirs = (
        pq.read_table(run.path / "labels" / name)
        for run, name in ((finished.run, "symmetric_40.parquet"), (second.run, "saved_symmetric_40.parquet"))
    )
    assert ours.equals(theirs)
    assert "Chosen, and sorted, by accuracy on corrupted images" in second.screen


def test_trial_columns_equal_the_clean_validation_row(finished: Finished) -> None:
    rows = {row["trial_id"]: row for row in finished.run.evaluations.to_pylist() if (row["split"], row["shift"]) == ("val", "clean")}
    for trial in finished.run.trials.to_pylist():
        row = rows[trial["trial_id"]]
        assert (trial["val_accuracy"], trial["val_ece"]) == (row["accuracy"], row["ece"])
        assert trial["test_accuracy"] is None
        assert trial["test_ece"] is None


def test_label_recovery_is_measured_only_under_noise(finished: Finished) -> None:
    noisy = {row["trial_id"] for row in finished.run.trials.to_pylist() if row["noise_kind"] == "symmetric"}
    for row in finished.run.epochs.to_pylist():
        assert (row["label_recovery"] is not None) == (row["memorised"] is not None) == (row["trial_id"] in noisy)


def test_front_is_what_no_trial_of_the_arm_beats(finished: Finished) -> None:
    trials = finished.run.trials.to_pylist()
    for row in trials:
        beaten = any(
            other["arm"] == row["arm"]
            and (other["val_accuracy"] >= row["val_accuracy"] and other["val_ece"] <= row["val_ece"])
            and (other["val_accuracy"] > row["val_accuracy"] or other["val_ece"] < row["val_ece"])
            for other in trials
        )
        assert row["on_front"] == (not beaten)


def test_screen_shows_the_front_and_where_things_are_and_nothing_else(finished: Finished) -> None:
    for expected in ("condition none", "condition symmetric_40", "cross_entropy", "hypervolume", "n = 180", "tables/*.parquet"):
        assert expected in finished.screen
    for expected in ("robustness of each front's most accurate trial", "gaussian_noise (", "labels/*.parquet"):
        assert expected in finished.screen
    for chatter in ("ray", "Trial ", "WARNING", "[I ", "Traceback"):
        assert chatter not in finished.screen.replace(str(finished.run.path), "")
    assert finished.errors == ""


def test_figures_and_provenance_are_written(finished: Finished) -> None:
    folder = finished.run.path
    assert (folder / "report/figures/front.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder / "report/figures/front.svg").read_text(encoding="utf-8")
    provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    assert provenance["data"]["n_train"] == 720
    assert set(provenance["data"]["noise_fingerprints"]) == {"none", "symmetric_40"}
    assert (folder.parent / "latest").resolve() == folder
    metadata = pq.read_schema(folder / "tables/trials.parquet").metadata
    assert metadata[b"schema_version"] == SCHEMA_VERSION.encode()


def test_optuna_opens_the_exported_journal(finished: Finished) -> None:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(finished.run.path / "optuna.journal")))
    assert sorted(summary.study_name for summary in optuna.get_all_study_summaries(storage)) == sorted(ARMS)
    study = optuna.load_study(study_name="bsd/symmetric_40", storage=storage)
    expected = {row["trial_number"]: row for row in finished.run.trials.to_pylist() if row["arm"] == "bsd/symmetric_40"}
    assert [trial.values for trial in study.trials] == [[expected[n]["val_accuracy"], expected[n]["val_ece"]] for n in (0, 1)]


def test_an_interrupted_run_resumes_to_the_very_same_numbers(finished: Finished, tmp_path: Path) -> None:
    study, results = write_study(tmp_path), tmp_path / "results"
    process = start(study, results)
    first_event("end", process, results)
    process.send_signal(signal.SIGINT)
    screen, _ = process.communicate(timeout=60)
    assert process.returncode == 130, screen
    assert f"-m studies resume {(results / 'tiny' / 'latest').resolve()}" in screen
    assert 0 < studies.load("tiny", results=results).trials.num_rows < 8

    done = call("resume", "tiny", "--results", str(results))
    assert done.returncode == 0, done.stderr
    run = studies.load("tiny", results=results)
    events = [json.loads(line) for line in (run.path / "ledger.jsonl").read_text(encoding="utf-8").splitlines()]
    assert set(Counter(event["trial_id"] for event in events if event["event"] == "end").values()) == {1}
    assert numbers(run) == numbers(finished.run)


def test_a_terminated_process_group_still_tells_how_to_go_on(tmp_path: Path) -> None:
    """As `timeout` and schedulers do it: Ray's own processes get the signal, too."""
    study, results = write_study(tmp_path), tmp_path / "results"
    process = start(study, results, "epochs=200", own_group=True)
    first_event("epochs", process, results)
    started = descendants(process.pid)
    os.killpg(process.pid, signal.SIGTERM)
    screen, _ = process.communicate(timeout=45)
    assert process.returncode == 143, screen
    wait_for(lambda: not alive(started), seconds=30, what="Ray to be gone")  # agents that are left look for it for a minute
    assert "-m studies resume" in screen


@pytest.mark.faults
def test_a_killed_trial_process_is_replaced_and_changes_no_number(finished: Finished, tmp_path: Path) -> None:
    study, results = write_study(tmp_path), tmp_path / "results"
    process = start(study, results)
    os.kill(first_event("end", process, results)["pid"], signal.SIGKILL)  # by now it works on its next trial
    screen, _ = process.communicate(timeout=240)
    assert process.returncode == 0, screen
    assert numbers(studies.load("tiny", results=results)) == numbers(finished.run)


@pytest.mark.faults
def test_trials_that_diverge_are_recorded_and_cost_no_process(tmp_path: Path) -> None:
    done = run_tiny(tmp_path, "conditions=none", "fixed.bsd.learning_rate=1e8")
    assert done.code == 1
    assert "Budgets are NOT equal: bsd/none gave up after 2 failed trials" in " ".join(done.screen.split())
    trials = {(row["method"], row["trial_number"]): row for row in done.run.trials.to_pylist()}
    assert {key: row["state"] for key, row in trials.items()} == {
        ("cross_entropy", 0): "complete",
        ("cross_entropy", 1): "complete",
        ("bsd", 0): "failed",
        ("bsd", 1): "failed",
    }
    for number in (0, 1):
        assert trials["bsd", number]["error"].startswith("diverged: ")
        assert trials["bsd", number]["val_accuracy"] is None
        assert trials["bsd", number]["on_front"] is False
    ledger = (done.run.path / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
    processes = {event["pid"] for event in map(json.loads, ledger) if event["event"] == "end"}
    assert len(processes) <= len(os.sched_getaffinity(0))  # no more than slots: no actor was lost to a failure
