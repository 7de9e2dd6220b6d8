"""Watching a run: what its ledger says is what the run itself would show, and nothing in its folder changes."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from bsd_core.errors import StorageError
from studies.lease import NAME
from studies.lease_look import LeaseLook
from studies.ledger import Event, as_line
from studies.ledger_tail import LedgerTail
from studies.run_folder import RunFolder, create_run
from studies.run_names import find_run, results_root
from studies.watch import Follower, watch_run
from tests.studies._command_line import main
from tests.studies._dummies import (
    make_choice,
    make_confirmation,
    make_end,
    make_epoch,
    make_epochs,
    make_events,
    make_run,
    make_spec,
    make_suggest,
    write_ledger,
)
from tests.studies._leases import elsewhere, leave_behind, read_only
from tests.studies._s3 import Store

ALL = [("cross_entropy/none", 0, 0.7, 0.2), ("cross_entropy/none", 1, 0.8, 0.1), ("bsd/none", 0, 0.9, 0.1), ("bsd/none", 1, 0.8, 0.05)]


def follow(events: list[Event], *, now: bool = True, **changes: object) -> tuple[Follower, list[str]]:
    follower = Follower("mine", make_spec(**changes), slots=2)
    return follower, follower.take(events, now=now)


# --- the tail of a ledger


def test_a_tail_gives_each_event_once_and_waits_for_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    tail = LedgerTail(path)
    assert tail.events() == []
    first, second = as_line(make_suggest("bsd/none", 0)), as_line(make_suggest("bsd/none", 1))
    path.write_bytes(first + second[:20])
    assert [event["trial_number"] for event in tail.events()] == [0]
    assert tail.events() == []
    with path.open("ab") as file:
        file.write(second[20:] + b"nonsense\n")
    assert [event["trial_number"] for event in tail.events()] == [1]
    assert tail.events() == []


def test_a_half_line_that_is_cut_off_by_the_next_process_was_never_read(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write_ledger(path, [make_suggest("bsd/none", 0)])
    with path.open("ab") as file:
        file.write(b'{"event":"sugg')
    tail = LedgerTail(path)
    assert len(tail.events()) == 1
    write_ledger(path, [make_suggest("bsd/none", 1)])  # which cuts it off
    assert [event["trial_number"] for event in tail.events()] == [1]


def test_a_ledger_that_goes_or_shrinks_is_said(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write_ledger(path, [make_suggest("bsd/none", 0)])
    tail = LedgerTail(path)
    tail.events()
    path.write_bytes(b"")
    with pytest.raises(StorageError, match="has become shorter"):
        tail.events()
    path.unlink()
    with pytest.raises(StorageError, match="no longer there"):
        tail.events()


# --- what it says


def test_events_drive_the_progress_as_they_do_in_the_run() -> None:
    follower, lines = follow([*make_events(*ALL[:3]), make_suggest("bsd/none", 1), make_epochs("bsd/none", 1, make_epoch(1, epochs=2))])
    assert float(follower.progress.finished) == 3
    assert follower.progress.arms["cross_entropy/none"].points == [(0.7, 0.2), (0.8, 0.1)]
    (running,) = follower.progress.running.values()
    assert (running.arm, running.number, running.latest["epoch"]) == ("bsd/none", 1, 1)
    assert lines == []


def test_failures_and_notes_are_lines() -> None:
    notes: list[Event] = [{"event": "note", "text": "slow disk", "of_run": True}, {"event": "note", "trial_id": "t", "text": "resumed"}]
    follower, lines = follow([*notes, *make_events(("bsd/none", 0, None, 0.0))])
    assert lines == ["slow disk", "t: resumed", "bsd-none-0000 failed: diverged: loss nan"]
    assert follower.progress.failed == 1


def test_a_stopped_trial_counts_by_its_share() -> None:
    stopped = make_end("bsd/none", 0, None) | {"state": "stopped", "stopped_at": 1, "total_epochs": 4, "error": None}
    follower, _ = follow([make_suggest("bsd/none", 0), stopped], epochs=4, stopping="pareto_halving")
    assert float(follower.progress.finished) == 0.25
    assert follower.progress.arms["bsd/none"].stopped == 1


def test_the_confirm_phase_gets_a_progress_of_its_own() -> None:
    events = [*make_events(*ALL), make_choice({("bsd/none", 0): "knee"}), *make_confirmation("bsd/none", 0, 0, 0.85, 0.07)]
    follower, _ = follow([*events, *make_confirmation("bsd/none", 0, 1, 0.84)[:1]], confirm={"seeds": 3})
    assert (follower.phase, follower.progress.title, follower.progress.points) == ("confirm", "mine, confirmed on test", "test")
    assert (follower.progress.total, float(follower.progress.finished)) == (3, 1)
    assert follower.progress.arms["bsd/none"].points == [(0.85, 0.07)]
    assert list(follower.progress.running) == ["bsd-none-0000-confirm-1"]
    assert follower.progress.phase == ""  # nothing comes after it


def test_what_the_study_looks_for_titles_the_search_and_clean_test_values_the_confirm_phase() -> None:
    objectives = ["val_accuracy", "val_corrupted_ece"]
    follower, _ = follow([], objectives=objectives, evaluate={"corruptions": "contrast"}, confirm={"seeds": 2})
    assert follower.progress.values == "acc/corr. ECE"
    follower.take([make_suggest("bsd/none", 0), make_choice({("bsd/none", 0): "knee"})], now=True)
    assert (follower.phase, follower.progress.values) == ("confirm", "acc/ECE")


def test_the_search_is_named_where_a_confirm_phase_follows() -> None:
    assert follow([], confirm={"seeds": 3})[0].progress.phase == "search"
    assert follow([])[0].progress.phase == ""


def test_what_does_not_belong_to_the_study_is_passed_over() -> None:
    end = make_end("bsd/none", 0, 0.9)
    del end["metrics"]["val_ece"]
    follower, lines = follow([*make_events(("cs_kd/none", 0, 0.9, 0.1)), make_suggest("bsd/none", 0), end])
    assert float(follower.progress.finished) == 0
    assert lines == [
        "The ledger's trial bsd-none-0000 has no val_ece, which this study's search is about: was study.yaml changed? Start a new run."
    ]


# --- a run that goes on meanwhile


def watch(run: RunFolder) -> tuple[int, list[str]]:
    console = Console(file=io.StringIO(), width=80)
    code = watch_run(run, console, every=0.02)
    return code, str(console.file.getvalue()).splitlines()  # type: ignore[attr-defined]


def test_a_run_is_followed_to_its_end_and_its_folder_is_left_as_it_is(tmp_path: Path) -> None:
    run = make_run(tmp_path, make_events(*ALL[:1]))
    held, over = threading.Event(), threading.Event()
    told: list[tuple[int, list[str]]] = []

    def work() -> None:
        with run.lock():
            held.set()
            write_ledger(run.ledger, make_events(*ALL[1:3]))
            time.sleep(0.2)
            write_ledger(run.ledger, make_events(("bsd/none", 1, None, 0.0), ("bsd/none", 2, 0.8, 0.05)))
            over.wait(5)

    worker = threading.Thread(target=work)
    worker.start()
    assert held.wait(5)
    watcher = threading.Thread(target=lambda: told.append(watch(run)))
    watcher.start()
    time.sleep(0.5)
    assert watcher.is_alive()  # all is trained, but the run still writes its tables
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    over.set()
    worker.join()
    watcher.join(5)
    ((code, lines),) = told
    assert code == 0
    assert lines[0] == "mine: 4 trials, 1 at once"
    assert "bsd-none-0001 failed: diverged: loss nan" in lines
    assert lines[-1].startswith("The run is finished: 4 of 4 trials. Its front: ")
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before


@pytest.mark.parametrize(
    ("trials", "code", "words"),
    [
        (ALL, 0, "The run is finished: 4 of 4 trials."),
        (ALL[:3], 1, "Nobody is at work on this run, and it is not finished: 3 of 4 trials. Finish it with: "),
        ([*ALL[:2], ("bsd/none", 0, None, 0.0), ("bsd/none", 1, None, 0.0)], 1, "The run ended, but bsd/none gave up"),
    ],
)
def test_of_a_run_at_which_nobody_works_it_is_said_how_it_ended(
    tmp_path: Path, trials: list[tuple[str, int, float | None, float]], code: int, words: str
) -> None:
    run = make_run(tmp_path, make_events(*trials))
    with run.lock():
        pass
    ended, lines = watch(run)
    assert ended == code
    assert len(lines) == 1
    assert lines[0].startswith(words)


def test_a_run_in_an_object_store_is_followed_by_its_lease(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("studies.alive.LeaseLook", partial(LeaseLook, every=0.1))
    run = create_run(results_root(store.uri("watched")), "mine", make_spec())
    told: list[tuple[int, list[str]]] = []
    with run.lock():
        ledger = run.open_ledger()
        for event in make_events(*ALL):
            ledger.append(event, sync=event["event"] == "end")
        ledger.close()
        run.push()
        watcher = threading.Thread(target=lambda: told.append(watch(find_run(results_root(store.uri("watched")), "mine"))))
        watcher.start()
        time.sleep(1)
        assert watcher.is_alive()
    watcher.join(20)
    ((code, lines),) = told
    assert (code, lines[0]) == (0, "mine: 4 trials, 1 at once")
    assert lines[-1].startswith("The run is finished: 4 of 4 trials.")
    assert "s3://" in lines[-1]


def test_a_run_that_another_machine_holds_is_watched_with_keys_that_may_only_read(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("studies.alive.LeaseLook", partial(LeaseLook, every=0.1))
    run = create_run(results_root(store.uri("watched-elsewhere")), "mine", make_spec())
    assert run.mirror is not None
    remote = run.mirror.remote
    leave_behind(remote, elsewhere())
    before = remote.files()
    told: list[tuple[int, list[str]]] = []
    with read_only():
        watcher = threading.Thread(target=lambda: told.append(watch(find_run(results_root(store.uri("watched-elsewhere")), "mine"))))
        watcher.start()
        time.sleep(1)
        assert watcher.is_alive()
        assert remote.files() == before
    remote.remove([NAME])
    watcher.join(20)
    ((code, lines),) = told
    assert (code, lines[0]) == (1, "mine: 4 trials, 1 at once")
    assert lines[-1].startswith("Nobody is at work on this run")


def test_ctrl_c_ends_watching_and_not_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path, make_events(*ALL[:1]))
    with run.lock():
        command = [sys.executable, "-m", "studies", "watch", str(run.path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "80"})
        assert process.stdout is not None
        assert process.stdout.readline() == "mine: 4 trials, 1 at once\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == "No longer watched; the run goes on.\n"


def test_sigterm_ends_watching_and_gives_the_cursor_back(tmp_path: Path) -> None:
    run = make_run(tmp_path, make_events(*ALL[:1]))
    screen, terminal = os.openpty()
    seen = b""
    with run.lock():
        command = [sys.executable, "-m", "studies", "watch", str(run.path)]
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
        process = subprocess.Popen(command, stdout=terminal, stderr=subprocess.PIPE, env=environment)
        while b"\x1b[?25l" not in seen:  # the cursor is hidden
            seen += os.read(screen, 4096)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
        os.close(terminal)
        with contextlib.suppress(OSError):  # the other end is closed
            while more := os.read(screen, 4096):
                seen += more
    os.close(screen)
    assert (process.returncode, errors) == (143, b"No longer watched; the run goes on.\n")
    assert seen.rfind(b"\x1b[?25h") > seen.rfind(b"\x1b[?25l")


def test_a_run_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(monkeypatch, "watch", "nothing") == 2
    assert capsys.readouterr().err.startswith("error: No run of 'nothing'")
