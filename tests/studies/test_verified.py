"""What `verify` found speaks of the tables it saw, and of no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studies.tables import write_tables
from studies.verified import read_verified, write_verified
from tests.studies._dummies import make_run, make_tables


@pytest.fixture
def run(tmp_path: Path) -> Path:
    made = make_run(tmp_path)
    write_tables(made, make_tables(("bsd/none", 0, 0.9, 0.1)), {})
    return made.path


def test_it_is_read_back(run: Path) -> None:
    assert read_verified(run) is None
    write_verified(run, agree=True, lines=["files: 3 agree"])
    found = read_verified(run)
    assert found is not None
    assert (found.agree, found.lines) == (True, ["files: 3 agree"])


def test_it_says_nothing_of_changed_tables(run: Path) -> None:
    write_verified(run, agree=False, lines=["DIFFERENT"])
    table = run / "tables" / "epochs.parquet"
    table.write_bytes(table.read_bytes() + b"\0")
    assert read_verified(run) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"when": 1, "agree": "yes", "lines": 3, "tables": {}}', "[" * 100_000])
def test_a_broken_file_is_no_result(content: str, run: Path) -> None:
    (run / "report").mkdir()
    (run / "report" / "verified.json").write_text(content, encoding="utf-8")
    assert read_verified(run) is None


def test_a_stranger_cannot_claim_agreement_with_another_word(run: Path) -> None:
    write_verified(run, agree=False, lines=[])
    path = run / "report" / "verified.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"agree": "true"}), encoding="utf-8")
    found = read_verified(run)
    assert found is not None
    assert not found.agree
