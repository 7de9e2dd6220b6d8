from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from studies.tune_state import clear_tune_state

WHOLE = json.dumps({"trial_data": [["{}", "{}"]], "runner_data": {"_metric": None}})


def snapshot(folder: Path, name: str, content: str, *, age: int) -> None:
    path = folder / "search" / f"experiment_state-{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    os.utime(path, (1_000_000 - age, 1_000_000 - age))


@pytest.mark.parametrize("content", ["", WHOLE[:30], WHOLE[:-1], "[" * 100_000])
def test_a_broken_newest_snapshot_is_named(content: str, tmp_path: Path) -> None:
    snapshot(tmp_path / "ray", "newest", content, age=0)
    snapshot(tmp_path / "ray", "older", WHOLE, age=10)
    assert clear_tune_state(tmp_path / "ray") == "experiment_state-newest.json"


def test_of_whole_snapshots_and_of_older_broken_ones_nothing_is_said(tmp_path: Path) -> None:
    snapshot(tmp_path / "ray", "newest", WHOLE, age=0)
    snapshot(tmp_path / "ray", "older", WHOLE[:30], age=10)
    assert clear_tune_state(tmp_path / "ray") is None


def test_what_an_earlier_process_left_is_removed_and_may_be_missing(tmp_path: Path) -> None:
    snapshot(tmp_path / "ray", "newest", WHOLE, age=0)
    (tmp_path / "ray" / "search" / "bsd-none-0000").mkdir()
    assert clear_tune_state(tmp_path / "ray") is None
    assert list(tmp_path.iterdir()) == []
    assert clear_tune_state(tmp_path / "ray") is None
