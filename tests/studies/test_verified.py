"""What `verify` found speaks of the files it saw, and of no others."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studies.tables import write_tables
from studies.verified import changed_files, digests, read_verified, write_verified
from tests.studies._dummies import make_events, make_run, make_tables

TRIAL = ("bsd/none", 0, 0.9, 0.1)
KEPT = ("labels/symmetric_40.parquet", "tables/predictions/a.parquet", "tables/features/a.parquet", "report/statistics.json")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    made = make_run(tmp_path, make_events(TRIAL))
    write_tables(made, make_tables(TRIAL), {})
    for name in KEPT:
        (made.path / name).parent.mkdir(exist_ok=True)
        (made.path / name).write_bytes(b"as it was")
    return made.path


def keep(run: Path, *, agree: bool = True, lines: list[str] | None = None) -> None:
    write_verified(run, digests(run), agree=agree, lines=["files: 3 agree"] if lines is None else lines)


def edit_kept(run: Path, **changes: Any) -> None:
    path = run / "report" / "verified.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes), encoding="utf-8")


def test_it_is_read_back(run: Path) -> None:
    assert read_verified(run) is None
    keep(run)
    found = read_verified(run)
    assert found is not None
    assert (found.agree, found.lines) == (True, ["files: 3 agree"])


@pytest.mark.parametrize("name", ["study.yaml", "ledger.jsonl", "tables/trials.parquet", "tables/epochs.parquet", *KEPT])
def test_it_says_nothing_of_changed_files(name: str, run: Path) -> None:
    keep(run)
    path = run / name
    path.write_bytes(path.read_bytes() + b"\0")
    assert read_verified(run) is None


def test_an_edit_that_keeps_size_and_time_is_a_change(run: Path) -> None:
    keep(run)
    path = run / "tables" / "predictions" / "a.parquet"
    times = path.stat()
    path.write_bytes(b"as it is!")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert read_verified(run) is None


@pytest.mark.parametrize(
    "change", [lambda run: (run / KEPT[1]).unlink(), lambda run: (run / KEPT[1]).with_name("b.parquet").write_bytes(b"as it was")]
)
def test_files_that_are_gone_or_new_are_a_change(change: Callable[[Path], object], run: Path) -> None:
    keep(run)
    change(run)
    assert read_verified(run) is None


def test_a_copy_is_as_verified_as_the_run(run: Path) -> None:
    keep(run)
    for path in run.rglob("*"):
        os.utime(path, (1, 1))
    assert read_verified(run) is not None


def test_changed_files_are_named_in_order(run: Path) -> None:
    before = digests(run)
    assert changed_files(before, digests(run)) == []
    (run / KEPT[0]).unlink()
    (run / KEPT[1]).with_name("b.parquet").write_bytes(b"new")
    (run / "ledger.jsonl").write_bytes(b"")
    assert changed_files(before, digests(run)) == ["labels/symmetric_40.parquet", "ledger.jsonl", "tables/predictions/b.parquet"]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", "null", '{"when": 1, "agree": "yes", "lines": 3, "files": {}}', "[" * 60_000],
)
def test_a_broken_file_is_no_result(content: str, run: Path) -> None:
    (run / "report" / "verified.json").write_text(content, encoding="utf-8")
    assert read_verified(run) is None


@pytest.mark.parametrize(
    "changes",
    [{"lines": ["agree"] * 17}, {"lines": [1]}, {"lines": "agree"}, {"when": ["now"]}, {"files": 1}, {"padding": "x" * 65_536}],
    ids=["many lines", "no text", "no list", "no time", "no digest", "a large file"],
)
def test_what_no_verify_has_written_is_no_result(changes: dict[str, Any], run: Path) -> None:
    keep(run)
    edit_kept(run, other=1)
    assert read_verified(run) is not None  # of what is edited, only the form counts
    edit_kept(run, **changes)
    assert read_verified(run) is None


def test_long_lines_and_control_characters_do_not_reach_the_page(run: Path) -> None:
    keep(run)
    edit_kept(run, lines=["\x1b[31mred", "x" * 5000], when="a\nb")
    found = read_verified(run)
    assert found is not None
    assert found.lines[0] == r"\x1b[31mred"
    assert len(found.lines[1]) <= 600
    assert found.when == r"a\nb"


def test_a_line_of_any_length_is_kept_so_that_it_is_read_again(run: Path) -> None:
    keep(run, agree=False, lines=["DIFFERENT  " + "x" * 100_000])
    found = read_verified(run)
    assert found is not None
    assert found.lines[0].startswith("DIFFERENT  xxx")


def test_a_stranger_cannot_claim_agreement_with_another_word(run: Path) -> None:
    keep(run, agree=False, lines=[])
    edit_kept(run, agree="true")
    found = read_verified(run)
    assert found is not None
    assert not found.agree
