"""What made a run, and what `verify` found of its files as they are."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from studies.report.infos.provenance import collect_provenance_info
from studies.report.source import ReportSource
from studies.screen import short_path
from studies.verified import digests, write_verified
from tests.studies._dummies import make_spec
from tests.studies.report._sources import make_source


@pytest.fixture
def source(tmp_path: Path) -> ReportSource:
    (tmp_path / "ledger.jsonl").write_bytes(b"{}\n")
    return replace(make_source([], make_spec()), path=tmp_path, place=tmp_path, provenance={"packages": {"torch": "1.0"}})


def test_a_run_that_was_not_verified_says_how(source: ReportSource) -> None:
    caption = collect_provenance_info(source).caption
    assert caption.startswith("Not verified as its files are now: ")
    assert f" -m studies verify {shlex.quote(short_path(source.path))} computes every number again." in caption


@pytest.mark.parametrize(("agree", "verdict"), [(True, "every number that can be computed again agrees"), (False, "DIFFERENT")])
def test_what_was_found_is_told_until_a_file_changes(agree: bool, verdict: str, source: ReportSource) -> None:
    write_verified(source.path, digests(source.path), agree=agree, lines=["files: 3 agree"])
    first, *lines = collect_provenance_info(source).caption.splitlines()
    assert first.startswith("Verified 20")
    assert first.endswith(f": {verdict}.")
    assert lines == ["files: 3 agree"]
    (source.path / "ledger.jsonl").write_bytes(b"{}\n{}\n")
    assert collect_provenance_info(source).caption.startswith("Not verified as its files are now: ")
