from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bsd_core.errors import ConfigError, StorageError
from studies.provenance import environment_differences
from studies.run_folder import RunFolder, check_writable, create_run, write_atomically
from studies.run_names import find_run
from tests.studies._dummies import make_run, make_spec


def test_a_new_run_has_the_resolved_study_and_latest_points_to_it(tmp_path: Path) -> None:
    spec = make_spec(fixed={"bsd": {"temperature": 1.0}})
    run = create_run(tmp_path, "mine", spec)
    assert run.path.parent == tmp_path / "mine"
    assert run.spec() == spec
    assert (tmp_path / "mine" / "latest").resolve() == run.path.resolve()
    assert sorted(path.name for path in run.path.iterdir()) == ["study.yaml"]


def test_every_field_stands_in_the_resolved_study(tmp_path: Path) -> None:
    document = yaml.safe_load((make_run(tmp_path).path / "study.yaml").read_text(encoding="utf-8"))
    assert set(document) == set(type(make_spec()).model_fields)


def test_a_run_with_a_mapping_reads_its_study_back(tmp_path: Path) -> None:
    spec = make_spec(conditions=[{"kind": "asymmetric", "rate": 0.2, "mapping": {0: 1, 1: 0}}])
    assert create_run(tmp_path, "mine", spec).spec() == spec


@pytest.mark.parametrize(
    ("fixed", "readable", "message"),
    [
        ({"bsd": {"temprature": 1.0}}, True, r"Did you mean 'temperature'"),
        ({"bsd": {"temperature": -1.0}}, True, r"fixed\.bsd: .*temperature"),
        ({"bsd": {"learning_rate": "fast"}}, False, r"learning_rate must be a number"),
        ({"shared": {"temperature": 1.0}}, False, r"setting in `fixed\.shared`"),
        ({"dsb": {}}, False, r"method in `fixed` 'dsb'"),
    ],
)
def test_a_study_is_checked_in_full_before_anything_trains_by_it(
    fixed: dict[str, dict[str, Any]], readable: bool, message: str, tmp_path: Path
) -> None:
    """To be read, it is checked but for what only the methods know."""
    run = make_run(tmp_path)
    document = run.document()
    (run.path / "study.yaml").write_text(yaml.safe_dump({**document, "fixed": fixed}), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        run.checked_spec()
    if readable:
        assert run.spec().fixed == fixed
    else:
        with pytest.raises(ConfigError, match=message):
            run.spec()


def test_a_run_id_is_a_utc_time_and_a_short_hash(tmp_path: Path) -> None:
    run_id = make_run(tmp_path).run_id
    assert len(run_id) == len("20250101T000000Z-abc123")
    assert (run_id[8], run_id[15:17]) == ("T", "Z-")


def test_two_runs_started_together_are_two_runs(tmp_path: Path) -> None:
    first, second = make_run(tmp_path), make_run(tmp_path)
    assert first.path != second.path
    assert find_run(tmp_path, "mine").path == second.path
    assert first.spec() == second.spec()


def test_the_places_in_a_run_folder_are_those_of_the_contract(tmp_path: Path) -> None:
    run = RunFolder("mine", tmp_path)
    places = {
        name: getattr(run, name).relative_to(tmp_path).as_posix() for name in ("ledger", "tables", "journal", "figures", "log", "ray")
    }
    assert places == {
        "ledger": "ledger.jsonl",
        "tables": "tables",
        "journal": "optuna.journal",
        "figures": "report/figures",
        "log": "run.log",
        "ray": "ray",
    }


def test_a_study_in_a_folder_has_its_own_folder(tmp_path: Path) -> None:
    run = make_run(tmp_path, study="group/mine")
    assert find_run(tmp_path, "group/mine").path == run.path.resolve()
    assert run.path.parent == tmp_path / "group" / "mine"


# --- finding


def test_a_latest_that_is_a_folder_is_named_before_a_run_is_made(tmp_path: Path) -> None:
    (tmp_path / "mine" / "latest").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"^'.*/mine/latest' must be a link to the newest run, but it is a folder\. Rename"):
        create_run(tmp_path, "mine", make_spec())
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["latest"]


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"3"])
def test_a_broken_provenance_is_empty(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "provenance.json").write_bytes(content)
    assert RunFolder("mine", tmp_path).provenance() == {}


def test_parts_of_a_provenance_that_are_of_another_type_are_left_out(tmp_path: Path) -> None:
    parts: dict[str, object] = {"study": "mine", "test": None, "packages": 3, "machine": [], "data": {"n_train": 5}}
    (tmp_path / "provenance.json").write_text(json.dumps(parts), encoding="utf-8")
    run = RunFolder("mine", tmp_path)
    assert run.provenance() == {"study": "mine", "data": {"n_train": 5}}
    assert environment_differences(run.provenance()) == []
    assert run.test_opened is None


@pytest.mark.parametrize(("test", "opened"), [({"opened": "2025-01-02"}, "2025-01-02"), ({"opened": 3}, None), ({}, None)])
def test_when_the_test_split_was_opened_is_a_text_or_unknown(test: object, opened: str | None, tmp_path: Path) -> None:
    (tmp_path / "provenance.json").write_text(json.dumps({"test": test}), encoding="utf-8")
    assert RunFolder("mine", tmp_path).test_opened == opened


@pytest.mark.parametrize(
    ("content", "message"), [(None, "not readable"), (b"trials: [", "not valid YAML"), (b"trials: 3", "is missing"), (b"- 3", "")]
)
def test_a_broken_study_in_a_run_folder_is_named(content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "study.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"study\.yaml.*{message}") as caught:
        RunFolder("mine", tmp_path).spec()
    assert "\n" not in str(caught.value)


def test_a_study_in_a_run_folder_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes(b"question: \xff")
    with pytest.raises(ConfigError, match=r"study\.yaml.*not readable"):
        RunFolder("mine", tmp_path).spec()


# --- writing


def test_asking_whether_a_folder_can_be_written_makes_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_under_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(StorageError, match=r"Cannot write results in '.*file/results'.*Choose another RESULTS=dir") as caught:
        check_writable(tmp_path / "file" / "results")
    assert f": '{tmp_path}/file' is no folder." in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_place_where_nothing_can_be_written_is_named_without_the_files_that_tried() -> None:
    with pytest.raises(StorageError, match=r"^Cannot write results in '/proc/none/results': [A-Z][a-z ]+\. Choose another RESULTS=dir \("):
        check_writable(Path("/proc/none/results"))
    with pytest.raises(
        StorageError, match=r"^Cannot write results in '/proc/none/mine/[^']+': [A-Z][a-z ]+\. Choose another RESULTS=dir \("
    ):
        create_run(Path("/proc/none"), "mine", make_spec())


def test_a_run_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x", encoding="utf-8")
    with pytest.raises(StorageError, match=r"Cannot write results in '.*mine/.*'"):
        create_run(tmp_path, "mine", make_spec())


def test_a_written_file_replaces_the_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.txt"
    write_atomically(path, b"old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


# --- one process at a time

HOLD = """
import sys
from pathlib import Path
from studies.run_folder import RunFolder

with RunFolder("mine", Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_run_at_work_in_another_process_is_refused_and_free_once_that_dies(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ConfigError, match=rf"Run {run.run_id} of 'mine' is still at work in another process; wait for it"), run.lock():
            pass
        other.kill()
    with run.lock():
        assert (run.path / ".lock").exists()
    with run.lock():
        pass
