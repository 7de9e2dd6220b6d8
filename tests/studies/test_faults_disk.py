"""Disks that are full, cannot be written or lose files, and files that a crash left half written: one line says so, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from studies.commands import command
from studies.ledger import read_ledger
from studies.run import DONE, FAILED, resume_study, run_study
from studies.run_folder import RunFolder
from studies.run_names import find_run
from studies.trial import trial_events
from tests.studies._command_line import main
from tests.studies._dummies import make_spec
from tests.studies._faults import NAME, Driver, check_finished, content, ledger_events, newest, write_study
from tests.studies._played_runs import copy_run, play_run, played_here
from tests.studies._processes import wait_for

SMALL: dict[str, Any] = {
    "train_images": 200,
    "width": 4,
    "batch_size": 64,
    "epochs": 2,
    "trials": 2,
    "conditions": ["symmetric:0.4"],
    "evaluate": {"corruptions": "none"},
    "confirm": {"at_most": 1, "operating_points": False, "seeds": 2, "corruptions": ["contrast"], "severities": [1], "images": 20},
}
N_TRIALS = 8  # of both phases


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """To which nothing happened."""
    return play_run(tmp_path_factory.mktemp("whole"), **SMALL)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path, *, leave: int = 0) -> None:
    """Leave so many KiB."""
    state = os.statvfs(disk)
    with (disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):  # others write, too, and may be faster
        file.write(bytes(max(0, state.f_bavail * state.f_frsize - 1024 * leave)))


def make_space(disk: Path) -> None:
    (disk / "filler").unlink()


def play_until(n: int, happens: Callable[[], object], work: Callable[[], int], *, at_end: bool = False) -> int:
    """Play trials; when the n-th begins (from 0), or has sent its end, something happens."""
    played = iter(range(1000))

    def watched_events(*args: Any, **options: Any) -> Iterator[Any]:
        if (now := next(played)) == n and not at_end:
            happens()
        for event in trial_events(*args, **options):
            yield event
            if now == n and at_end and event["event"] == "end":
                happens()

    # Prints go to descriptor 1, as outside of pytest, so that they follow it into run.log.
    with open(1, "w", encoding="utf-8", closefd=False, buffering=1) as stdout, pytest.MonkeyPatch.context() as patch, played_here():
        patch.setattr(sys, "stdout", stdout)
        patch.setattr("tests.studies._played_runs.trial_events", watched_events)
        return work()


# --- a full disk


@pytest.mark.parametrize(
    ("n", "at_end", "leave", "file"),
    [
        (0, False, 0, "ledger.jsonl"),
        (2, False, 2, "ledger.jsonl"),
        (5, False, 12, "tables/predictions/"),
        (6, False, 60, "tables/"),
        (N_TRIALS - 1, True, 0, ""),
        (N_TRIALS - 1, True, 30, "tables/"),
        (N_TRIALS - 1, True, 80, ""),
        (N_TRIALS - 1, True, 130, "report/"),
    ],
)
def test_a_full_disk_stops_a_study_with_one_line_and_costs_nothing(
    n: int,
    at_end: bool,
    leave: int,
    file: str,
    whole: RunFolder,
    disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    results = disk / "results"
    assert play_until(n, lambda: fill(disk, leave=leave), lambda: run_study("mine", make_spec(**SMALL), results), at_end=at_end) == FAILED
    run = find_run(results, "mine")
    screen = capfd.readouterr().out
    last = screen.splitlines()[-1]
    assert last.startswith(f"The run failed: Cannot write '{run.path}/{file}")
    assert "No space left on device. Make space, then finish it with: " in last
    assert last.endswith(f"-m studies resume {run.path}")
    assert "Traceback" not in screen

    n_ended = sum(event["event"] == "end" for event in read_ledger(run.ledger).events)
    code = main(monkeypatch, "front", "mine", "--results", str(results))
    printed, errors = capfd.readouterr()
    assert code == (1 if n_ended else 2)
    if n_ended:
        assert "condition symmetric_40" in printed
        assert errors.startswith("error: Shown, but not kept: Cannot write ")
        assert len(errors.splitlines()) == 1
    else:
        assert errors == f"error: No trial of {run.path} has ended; finish the run: {command('resume', run.path)}\n"

    make_space(disk)
    with played_here():
        assert resume_study(run) == DONE
    assert content(run) == content(whole)
    assert not list(run.path.rglob("*.tmp"))


def test_a_study_is_not_begun_on_a_full_disk(disk: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    fill(disk)
    study = write_study(disk.parent)
    assert main(monkeypatch, "run", str(study), "--results", str(disk / "results")) == 2
    printed, errors = capfd.readouterr()
    assert printed == ""
    assert errors.startswith(f"error: Cannot write results in '{disk}/results': No space left on device")
    assert [path.name for path in disk.iterdir()] == ["filler"]


@pytest.mark.slow
@pytest.mark.faults
def test_a_disk_that_is_full_in_both_phases_stops_a_real_study_twice_and_it_ends_as_if_nothing_had_happened(disk: Path) -> None:
    study, results = write_study(disk.parent), disk / "results"
    driver = Driver(("run", str(study), "--results", str(results)))
    for phase, leave in (("", 0), ("confirm", 40)):

        def trains(phase: str = phase) -> bool:
            return any(event["event"] == "epochs" and phase in event["trial_id"] for event in ledger_events(newest(results)))

        wait_for(trains, seconds=600, what="epochs")
        fill(disk, leave=leave)
        code, screen = driver.finish()
        assert code == 1, screen
        (line,) = [line for line in screen.splitlines() if line.startswith("The run failed")]
        assert line == screen.splitlines()[-1]
        assert "No space left on device. Make space, then finish it with: " in line
        assert "Traceback" not in screen
        driver.wait_gone()
        code, screen = Driver(("front", NAME, "--results", str(results))).finish()
        assert code in (1, 2), screen
        assert "Traceback" not in screen
        make_space(disk)
        driver = Driver(("resume", NAME, "--results", str(results)))
    code, screen = driver.finish()
    assert code == 0, screen
    run = newest(results)
    assert run is not None
    check_finished(run)


# --- a disk that can only be read, and a folder that is gone


def test_a_run_on_a_disk_that_can_only_be_read_is_shown_and_not_resumed(
    whole: RunFolder, disk: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = copy_run(whole, disk)
    run.statistics.unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert main(monkeypatch, "resume", str(run.path)) == 2
    printed, errors = capfd.readouterr()
    assert (printed, len(errors.splitlines())) == ("", 1)
    assert "Read-only file system" in errors
    assert main(monkeypatch, "front", str(run.path)) == 1
    printed, errors = capfd.readouterr()
    assert "condition symmetric_40" in printed
    assert errors.startswith("error: Shown, but not kept: Cannot write ")
    assert len(errors.splitlines()) == 1
    assert main(monkeypatch, "run", str(write_study(disk.parent)), "--results", str(disk)) == 2
    assert "Read-only file system" in capfd.readouterr().err


@pytest.mark.parametrize("n", [1, 6])
def test_a_results_folder_that_is_removed_stops_the_study_with_one_line(n: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results"
    code = play_until(n, lambda: shutil.rmtree(results), lambda: run_study("mine", make_spec(**SMALL), results))
    screen = capfd.readouterr().out
    assert code == FAILED
    assert screen.splitlines()[-1].startswith("The run failed, and its folder is no longer there: Cannot write ")
    assert "Traceback" not in screen


# --- what a crash leaves of a ledger


def _lines(run: RunFolder) -> list[bytes]:
    return run.ledger.read_bytes().splitlines(keepends=True)


def _places(lines: list[bytes], kind: str) -> list[int]:
    return [number for number, line in enumerate(lines) if line.startswith(f'{{"event":"{kind}"'.encode())]


def test_a_last_line_that_lacks_its_newline_alone_counts(whole: RunFolder, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = _lines(whole)
    for end in _places(lines, "end"):
        run = copy_run(whole, tmp_path / str(end))
        run.ledger.write_bytes(b"".join(lines[: end + 1])[:-1])
        with played_here():
            assert resume_study(run) == DONE
        assert len(_places(_lines(run), "end")) == N_TRIALS  # none was run again
        assert content(run) == content(whole)
        assert "could not be read" not in capfd.readouterr().out


def test_a_last_line_that_is_cut_anywhere_is_said_and_its_trial_run_again(
    whole: RunFolder, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seed = secrets.randbits(32)
    print(f"cut by seed {seed}")
    rng, lines = random.Random(seed), _lines(whole)
    for number in range(6):
        line = rng.randrange(len(lines))
        cut = rng.randrange(1, len(lines[line]) - 1)
        run = copy_run(whole, tmp_path / str(number))
        run.ledger.write_bytes(b"".join(lines[:line]) + lines[line][:cut])
        capfd.readouterr()
        with played_here():
            assert resume_study(run) == DONE
        assert "A line in the ledger could not be read and left out; all others are used." in capfd.readouterr().out
        assert content(run) == content(whole)
        assert read_ledger(run.ledger).broken_lines == 0


@pytest.mark.parametrize("garbage", [b"\x00\xff{]\n", b'{"event":"end"}\n', b"[" * 5000 + b"\n"])
def test_garbage_amid_a_ledger_is_said_and_what_it_covers_is_run_again(
    garbage: bytes, whole: RunFolder, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = _lines(whole)
    suggested, ended = _places(lines, "suggest"), _places(lines, "end")
    covered = [suggested[0], suggested[3], suggested[-2], ended[0], ended[-2], *_places(lines, "confirm")]
    for place in covered:
        run = copy_run(whole, tmp_path / str(place))
        run.ledger.write_bytes(b"".join([*lines[:place], garbage, *lines[place + 1 :]]))
        with played_here():
            assert resume_study(run) == DONE
        assert "A line in the ledger could not be read and left out; all others are used." in capfd.readouterr().out
        assert content(run) == content(whole)
