from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bsd_core.errors import ConfigError, StorageError
from studies.alive import is_at_work, started
from studies.run_folder import RunFolder
from tests.studies._dummies import make_run


def old(run: RunFolder) -> RunFolder:
    """The same as if it had been begun long ago."""
    path = run.path.with_name("20250101T000000Z-abc123")
    run.path.rename(path)
    return RunFolder(run.study, path)


def test_a_run_is_at_work_while_its_lock_is_held_and_looking_changes_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with run.lock():
        before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
        assert is_at_work(run)
        assert is_at_work(run)
        assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before
    assert not is_at_work(run)
    with run.lock():  # nothing is left of having looked
        pass


def test_a_run_without_a_lock_is_at_work_only_as_it_begins(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert is_at_work(run)
    assert not is_at_work(old(run))


def test_a_run_begins_although_someone_looks_all_the_time(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with run.lock():
        pass
    end, looks, seen = threading.Event(), 0, 0

    def look() -> None:
        nonlocal looks
        while not end.is_set():
            is_at_work(run)
            looks += 1
            time.sleep(0.005)  # a hundred times as often as `watch` looks; without any pause the two of them would never let go

    watchers = [threading.Thread(target=look) for _ in range(2)]
    for watcher in watchers:
        watcher.start()
    try:
        for _ in range(50):
            with run.lock():
                seen += is_at_work(run)
    finally:
        end.set()
        for watcher in watchers:
            watcher.join()
    assert seen == 50  # none was refused, and each that held it was seen
    assert looks


def test_a_second_process_is_refused_soon(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with run.lock():
        began = time.monotonic()
        with pytest.raises(ConfigError, match="still at work"), run.lock():
            raise AssertionError
        assert time.monotonic() - began < 2


def test_a_lock_that_leads_elsewhere_or_blocks_is_not_opened(tmp_path: Path) -> None:
    run = old(make_run(tmp_path))
    (run.path / ".lock").symlink_to("/etc/passwd")
    with pytest.raises(StorageError, match=r"Cannot read .*\.lock"):
        is_at_work(run)
    (run.path / ".lock").unlink()
    os.mkfifo(run.path / ".lock")
    assert not is_at_work(run)


@pytest.mark.parametrize(
    ("provenance", "expected"),
    [
        ('{"started": "2025-03-01T12:00:00+02:00"}', datetime(2025, 3, 1, 10, tzinfo=UTC)),
        ('{"started": 7}', datetime(2025, 1, 1, tzinfo=UTC)),
        ('{"started": "0001-01-01T00:00:00+14:00"}', datetime(2025, 1, 1, tzinfo=UTC)),
        ("nonsense", datetime(2025, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_run_says_when_it_was_begun(tmp_path: Path, provenance: str, expected: datetime) -> None:
    run = old(make_run(tmp_path))
    (run.path / "provenance.json").write_text(provenance, encoding="utf-8")
    assert started(run) == expected


def test_a_folder_of_another_name_does_not(tmp_path: Path) -> None:
    assert started(RunFolder("mine", tmp_path / "copy")) is None
    assert started(RunFolder("mine", tmp_path / "20269999T999999Z-abcdef")) is None
