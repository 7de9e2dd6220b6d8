"""A study's road without Ray: a stand-in for Ray Tune plays the trials, everything else is the real thing."""

from __future__ import annotations

import errno
import io
import json
import os
import shlex
import signal
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import studies
from bsd_core.errors import ConfigError, DataError, StorageError
from studies import cluster
from studies import run as run_module
from studies.cluster_probe import FoundCluster
from studies.driver import StudyDriver
from studies.interrupts import INTERRUPTED, TERMINATED
from studies.ledger import read_ledger
from studies.nodes import Node
from studies.results import write_results
from studies.run import DONE, FAILED, resume_study, run_study
from studies.run_folder import RunFolder
from studies.run_names import find_run
from studies.search import StudySearch
from studies.shown import show_front
from tests.studies._dummies import make_end, make_epoch, make_events, make_run, make_search_data, make_spec, make_suggest

Play = Callable[[StudyDriver], None]


def play(driver: StudyDriver, *, at_most: int = 1000, fail: Callable[[str], bool] = lambda name: False) -> None:
    """What Ray Tune does: asks, passes messages on, tells the end."""
    for number in range(at_most):
        tune_id = f"{os.getpid()}-{number}"
        if driver.suggest(tune_id) is None:
            return
        name = driver.trial_name(tune_id)
        accuracy = None if fail(name) else 0.5 + 0.01 * (sum(map(ord, name)) % 50)
        end = {**make_end("", 0, accuracy), "trial_id": name}
        driver.receive(tune_id, json.dumps([{"event": "epoch", "trial_id": name, **make_epoch(1)}, end]))
        driver.complete(tune_id, died=False)


@pytest.fixture
def tune(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Stands in for Ray; `tune["play"]` is what happens to the trials, `tune["calls"]` what it was asked for."""
    state: dict[str, Any] = {"play": play, "calls": []}

    def run_trials(driver: StudyDriver, **settings: Any) -> None:
        state["calls"].append(settings)
        state["play"](driver)

    module = types.ModuleType("studies.tune")
    module.run_trials = run_trials  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "studies.tune", module)
    monkeypatch.setattr(cluster, "connect", lambda address, **settings: [Node(2, 0)])
    monkeypatch.setattr(cluster, "disconnect", lambda: None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    handler = signal.getsignal(signal.SIGTERM)
    yield state
    assert signal.getsignal(signal.SIGTERM) is handler


def newest(results: Path) -> RunFolder:
    return find_run(results, "mine")


# --- a whole run


def test_a_finished_run_leaves_everything_the_contract_lists(
    tune: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_study("mine", make_spec(), tmp_path) == DONE == 0
    run = newest(tmp_path)
    expected = ["study.yaml", "provenance.json", "ledger.jsonl", "optuna.journal", "run.log"]
    expected += [f"tables/{name}.parquet" for name in ("trials", "epochs", "evaluations", "reliability")]
    expected += [f"report/figures/front.{kind}" for kind in ("png", "svg")]
    assert [name for name in expected if not (run.path / name).is_file()] == []
    assert run.provenance()["study"] == "mine"
    loaded = studies.load("mine", results=tmp_path)
    assert sorted(loaded.trials["arm"].to_pylist()) == ["bsd/none"] * 2 + ["cross_entropy/none"] * 2
    screen, errors = capfd.readouterr()
    assert errors == ""
    assert "condition none" in screen
    assert "4 finished trials, in " in screen
    assert str(run.path) in screen


def test_trials_get_the_prepared_data_and_the_slots_of_the_machine(tune: dict[str, Any], tmp_path: Path) -> None:
    run_study("mine", make_spec(cpus_per_trial=0.5), tmp_path)
    (call,) = tune["calls"]
    assert (call["slots"], call["gpus"], call["settings"].cpus) == (4, 0.0, 0.5)
    assert len(call["data"].train_images) == 1150
    assert call["folder"] == newest(tmp_path).ray


def test_an_arm_that_gave_up_makes_the_run_fail_and_is_named(
    tune: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tune["play"] = lambda driver: play(driver, fail=lambda name: name.startswith("bsd"))
    assert run_study("mine", make_spec(), tmp_path) == FAILED == 1
    screen = capfd.readouterr().out
    assert "Budgets are NOT equal: bsd/none gave up after 2 failed trials" in screen
    assert "2 finished trials, 2 failed" in screen
    assert "bsd-none-0000 failed: diverged: loss nan" in screen


def test_a_run_in_which_all_failed_still_has_tables_and_no_figure(
    tune: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tune["play"] = lambda driver: play(driver, fail=lambda name: True)
    assert run_study("mine", make_spec(), tmp_path) == FAILED
    assert studies.load("mine", results=tmp_path).trials["state"].to_pylist() == ["failed"] * 4
    assert not newest(tmp_path).figures.exists()
    assert "0 finished trials, 4 failed" in capfd.readouterr().out


def test_where_no_trial_finished_the_test_split_stays_closed(
    tune: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tune["play"] = lambda driver: play(driver, fail=lambda name: True)
    assert run_study("mine", make_spec(confirm={}), tmp_path) == FAILED
    assert "Nothing could be confirmed, since no trial finished; the test split stayed closed." in capfd.readouterr().out
    assert [call["test"] for call in tune["calls"]] == [None]
    assert not [event for event in read_ledger(newest(tmp_path).ledger).events if event["event"] == "confirm"]
    assert "test" not in newest(tmp_path).provenance()
    assert resume_study(newest(tmp_path)) == FAILED
    assert len(tune["calls"]) == 1


def test_arms_of_which_no_training_comes_through_with_a_fresh_seed_make_the_run_fail(
    tune: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tune["play"] = lambda driver: play(driver, fail=lambda name: "confirm" in name)
    assert run_study("mine", make_spec(confirm={"seeds": 2}), tmp_path) == FAILED
    screen = capfd.readouterr().out
    assert "No training of cross_entropy/none, bsd/none came through with a fresh seed: see `error` in trials.parquet." in screen
    for falsehood in ("None test images", "no predictions were kept", "One seed alone", "not confirmed"):
        assert falsehood not in screen


def stop_after(n: int, how: Callable[[], None]) -> Play:
    def stopped(driver: StudyDriver) -> None:
        play(driver, at_most=n)
        driver.suggest("cut")
        how()

    return stopped


def interrupt() -> None:
    raise KeyboardInterrupt


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def crash() -> None:
    raise RuntimeError("the cluster\nis gone")


def resume_command(screen: str) -> list[str]:
    """The command that the screen offers, as a shell reads it."""
    python = Path(sys.executable).name  # python or python3, as the tests were started
    (line,) = [line for line in screen.splitlines() if f"{python} -m studies resume" in line]
    return shlex.split(line[line.index(f"{python} -m studies") :])


@pytest.mark.parametrize(
    ("how", "code", "word"),
    [(interrupt, INTERRUPTED, "Interrupted"), (terminate, TERMINATED, "Interrupted"), (crash, FAILED, "The run failed")],
)
def test_a_run_that_is_cut_says_how_to_go_on_and_goes_on(
    how: Callable[[], None], code: int, word: str, tune: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    tune["play"] = stop_after(3, how)
    assert run_study("mine", make_spec(), results) == code
    screen = capfd.readouterr().out
    assert any(line.startswith(word) for line in screen.splitlines())
    assert resume_command(screen) == [Path(sys.executable).name, "-m", "studies", "resume", str(newest(results).path)]
    before = studies.load("mine", results=results)
    assert len(before.trials) == 3

    tune["play"] = play
    assert resume_study(newest(results)) == DONE
    after = studies.load("mine", results=results)
    assert after.path == before.path
    assert sorted(after.trials["arm"].to_pylist()) == ["bsd/none"] * 2 + ["cross_entropy/none"] * 2
    ends = [event["trial_id"] for event in read_ledger(newest(results).ledger).events if event["event"] == "end"]
    assert len(ends) == len(set(ends)) == 4


def test_the_exit_codes_are_those_of_the_contract() -> None:
    assert (DONE, FAILED, INTERRUPTED, TERMINATED) == (0, 1, 130, 143)


def test_a_crash_is_told_in_one_line_and_in_full_in_the_log(
    tune: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tune["play"] = stop_after(1, crash)
    with open(1, "w", encoding="utf-8", closefd=False) as real_stdout:  # pytest's own stand-in is not descriptor 1
        monkeypatch.setattr(sys, "stdout", real_stdout)
        assert run_study("mine", make_spec(), tmp_path) == FAILED
    screen = capfd.readouterr().out
    assert "The run failed: the cluster is gone. See " in screen
    assert "Traceback" not in screen
    assert "RuntimeError: the cluster" in newest(tmp_path).log.read_text(encoding="utf-8")


def test_brackets_in_a_crashs_message_are_shown_as_they_are(
    tune: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def crash_in_a_path() -> None:
        raise RuntimeError("no file [/usr/lib/x] in [red]y")

    tune["play"] = stop_after(1, crash_in_a_path)
    assert run_study("mine", make_spec(), tmp_path) == FAILED
    assert "The run failed: no file [/usr/lib/x] in [red]y. See " in capfd.readouterr().out


@pytest.mark.parametrize("folder", ["my results", "it's"])
def test_the_resume_command_can_be_pasted_whatever_the_folder(
    folder: str, tune: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tune["play"] = stop_after(0, interrupt)
    run_study("mine", make_spec(), tmp_path / folder)
    assert resume_command(capfd.readouterr().out)[-1] == str(newest(tmp_path / folder).path)


def test_a_run_that_is_cut_before_its_first_trial_ended_can_be_resumed(tune: dict[str, Any], tmp_path: Path) -> None:
    tune["play"] = stop_after(0, interrupt)
    assert run_study("mine", make_spec(), tmp_path) == INTERRUPTED
    assert not newest(tmp_path).tables.exists()
    tune["play"] = play
    assert resume_study(newest(tmp_path)) == DONE
    assert len(studies.load("mine", results=tmp_path).trials) == 4


def test_a_resumed_run_ends_with_the_tables_of_an_uninterrupted_one(tune: dict[str, Any], tmp_path: Path) -> None:
    spec = make_spec(trials=4, conditions=["none", "symmetric:0.4"])
    assert run_study("mine", spec, tmp_path / "whole") == DONE
    tune["play"] = stop_after(7, interrupt)
    assert run_study("mine", spec, tmp_path / "cut") == INTERRUPTED
    tune["play"] = play
    assert resume_study(newest(tmp_path / "cut")) == DONE
    whole, cut = (studies.load("mine", results=tmp_path / name).trials.drop_columns("run_id") for name in ("whole", "cut"))
    assert cut.equals(whole)


def test_resuming_a_finished_run_trains_nothing_and_builds_its_tables_again(tune: dict[str, Any], tmp_path: Path) -> None:
    run_study("mine", make_spec(), tmp_path)
    run = newest(tmp_path)
    (run.tables / "trials.parquet").unlink()
    ledger = run.ledger.read_bytes()
    assert resume_study(run) == DONE
    assert run.ledger.read_bytes() == ledger
    assert len(tune["calls"]) == 1
    assert len(studies.load("mine", results=tmp_path).trials) == 4


def test_a_half_line_in_the_ledger_is_said_and_costs_one_trial_at_most(
    tune: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tune["play"] = stop_after(2, interrupt)
    run_study("mine", make_spec(), tmp_path)
    run = newest(tmp_path)
    run.ledger.write_bytes(run.ledger.read_bytes() + b'{"event":"end","tri')
    tune["play"] = play
    capfd.readouterr()
    assert resume_study(run) == DONE
    assert "A line in the ledger could not be read and left out; all others are used." in capfd.readouterr().out
    assert read_ledger(run.ledger).broken_lines == 0


def test_a_run_whose_data_have_changed_is_not_resumed(tune: dict[str, Any], tmp_path: Path) -> None:
    tune["play"] = stop_after(1, interrupt)
    run_study("mine", make_spec(), tmp_path)
    run = newest(tmp_path)
    facts = run.provenance()
    facts["data"]["fingerprint"] = "another"
    (run.path / "provenance.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(DataError, match=r"The data set is not the one this run began with \(fingerprint another\)"):
        resume_study(run)
    assert len(tune["calls"]) == 1


def test_a_run_at_work_is_not_resumed(tune: dict[str, Any], tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with run.lock(), pytest.raises(ConfigError, match="is still at work in another process"):
        resume_study(run)
    assert tune["calls"] == []


@pytest.mark.parametrize("changes", [{"cpus_per_trial": 10_000}, {"gpus_per_trial": 10_000}, {"batch_size": 5000}])
def test_a_study_that_cannot_run_starts_nothing_and_leaves_no_run(changes: dict[str, Any], tune: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Lower \w+_per_trial|Lower batch_size"):
        run_study("mine", make_spec(**changes), tmp_path)
    assert list(tmp_path.rglob("*")) == []
    assert tune["calls"] == []


def test_a_cluster_that_is_too_small_starts_nothing_and_is_left(
    tune: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[bool] = []
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setattr(run_module, "find_cluster", lambda address: FoundCluster("127.0.0.1:6379", 1, needs_token=False))
    monkeypatch.setattr(cluster, "disconnect", lambda: left.append(True))
    with pytest.raises(ConfigError, match=r"A trial asks for 3 CPUs .* but the cluster has 2 CPUs"):
        run_study("mine", make_spec(cpus_per_trial=3), tmp_path)
    assert left == [True]
    assert list(tmp_path.rglob("*")) == []


# --- results from a ledger


def test_without_an_ended_trial_there_are_no_results(tmp_path: Path) -> None:
    run = make_run(tmp_path, [make_suggest("bsd/none", 0)])
    assert write_results(run) is None
    assert not run.tables.exists()


def test_results_can_be_built_while_a_study_runs(tmp_path: Path) -> None:
    run = make_run(tmp_path, [*make_events(("bsd/none", 0, 0.9, 0.1)), make_suggest("bsd/none", 1)])
    tables = write_results(run)
    assert tables is not None
    assert len(tables.trials) == 1
    assert studies.load(run.path).trials["run_id"].to_pylist() == [run.run_id]
    assert not run.journal.exists()


def test_results_carry_the_provenance_of_their_run(tmp_path: Path) -> None:
    run = make_run(tmp_path, make_events(("bsd/none", 0, 0.9, 0.1)))
    (run.path / "provenance.json").write_text(json.dumps({"seed": 5}), encoding="utf-8")
    write_results(run)
    metadata = studies.load(run.path).trials.schema.metadata
    assert json.loads(metadata[b"provenance"]) == {"seed": 5}
    assert metadata[b"run_id"].decode() == run.run_id


def test_results_say_when_the_test_split_was_opened_and_what_it_was(tmp_path: Path) -> None:
    opened = {"event": "confirm", "chosen": {}, "opened": "2025-01-01T00:00:00+00:00", "test_fingerprint": "f1"}
    run = make_run(tmp_path, [*make_events(("bsd/none", 0, 0.9, 0.1)), opened])
    (run.path / "provenance.json").write_text(json.dumps({"seed": 5}), encoding="utf-8")
    write_results(run)
    expected = {"seed": 5, "test": {"opened": "2025-01-01T00:00:00+00:00", "fingerprint": "f1"}}
    assert json.loads(studies.load(run.path).trials.schema.metadata[b"provenance"]) == expected
    assert run.provenance() == expected


def test_the_journal_is_replaced_whole(tmp_path: Path) -> None:
    run = make_run(tmp_path, make_events(("bsd/none", 0, 0.9, 0.1)))
    search = StudySearch(run.spec(), slots=1)
    for _ in range(2):
        write_results(run, search)
    assert [path.name for path in run.path.iterdir() if "journal" in path.name] == ["optuna.journal"]


@pytest.mark.parametrize("folder", ["plain", "with [red]brackets[", "with [/nonsense]"])
def test_the_screen_says_where_results_are(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / folder).mkdir(parents=True)
    run = make_run(tmp_path / folder, make_events(("bsd/none", 0, 0.9, 0.1)))
    tables = write_results(run)
    assert tables is not None
    console = Console(file=io.StringIO(), width=80)
    show_front(run, tables, console)
    assert str(run.path) in console.file.getvalue()  # type: ignore[attr-defined]
    monkeypatch.chdir(tmp_path)
    console = Console(file=io.StringIO(), width=80)
    show_front(run, tables, console)
    assert f"in {run.path.relative_to(tmp_path)}\n" in console.file.getvalue()  # type: ignore[attr-defined]


def test_the_statistics_are_those_of_the_tables_beside_them(tmp_path: Path) -> None:
    run = make_run(tmp_path, make_events(("bsd/none", 0, 0.9, 0.1)))
    tables = write_results(run)
    assert tables is not None
    console = Console(file=io.StringIO(), width=80)
    show_front(run, tables, console)
    assert json.loads(run.statistics.read_text(encoding="utf-8"))["fronts"]["search"]["bsd/none"]["anytime"]["n_trials"] == [1]
    assert f"-m studies report {run.path}" in console.file.getvalue()  # type: ignore[attr-defined]
    write_results(run)  # of a run that has gone on, say
    assert not run.statistics.exists()


def test_the_spinner_shows_a_data_set_name_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr(run_module, "our_console", lambda: console)
    with run_module._status("loading parquet:/data[/old] [red]x"):
        pass
    assert "loading parquet:/data[/old] [red]x" in console.file.getvalue()  # type: ignore[attr-defined]


def test_toy_data_have_the_form_of_prepared_data() -> None:
    """The factories that other tests rely on."""
    data = make_search_data(conditions=["none", "symmetric_12.5"])
    train, _ = data.given["symmetric_12.5"]
    assert int((train != data.train_targets).sum()) == 6


def test_a_disk_that_is_full_when_a_run_has_just_been_made_tells_how_to_go_on(
    tune: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*arguments: Any) -> None:
        raise StorageError("Cannot write labels.") from OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run_module, "save_noise", full)
    assert run_study("mine", make_spec(), tmp_path) == FAILED
    assert "The run failed: Cannot write labels. Make space, then finish it with: " in capsys.readouterr().out
    monkeypatch.undo()
    assert find_run(tmp_path, "mine").spec() == make_spec()
    assert tune["calls"] == []
