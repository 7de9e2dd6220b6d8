"""Runs that are cut in either phase, whatever they train on and look for, end as if nothing had happened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studies.ledger import read_ledger
from studies.run import DONE, resume_study
from studies.run_folder import RunFolder
from studies.tables import read_tables
from tests.studies._played_runs import copy_run, play_run, played_here

SMALL: dict[str, Any] = {
    "train_images": 200,
    "conditions": ["symmetric:0.4"],
    "trials": 1,
    "evaluate": {"corruptions": "none"},
    "confirm": {"at_most": 1, "seeds": 2, "corruptions": ["contrast"], "severities": [1], "images": 20},
}
INCIDENTAL = {"train_seconds", "evaluate_seconds", "images_per_second", "seconds"}


def changed(**confirm: Any) -> dict[str, Any]:
    return {**SMALL, "confirm": {**SMALL["confirm"], **confirm}}


STUDIES = {
    "plain": {**changed(predictions="all"), "baseline": "random"},
    "trained on all": changed(train_on="train+val"),
    "chosen on corrupted images": {
        **SMALL,
        "evaluate": {"corruptions": ["fog"], "severities": [2], "images": 20},
        "objectives": ["val_corrupted_accuracy", "val_corrupted_ece"],
    },
}


def content(run: RunFolder) -> dict[str, Any]:
    """Tables without what depends on the moment, and the bytes of all predictions."""
    tables = read_tables(run)
    found: dict[str, Any] = {}
    for name in ("trials", "epochs", "evaluations", "reliability"):
        table = getattr(tables, name)
        found[name] = table.drop_columns([column for column in table.column_names if column in INCIDENTAL]).to_pylist()
    found["epochs"] = sorted(found["epochs"], key=json.dumps)
    for name in ("evaluations", "reliability"):
        found[name] = sorted(found[name], key=json.dumps)
    return found | {path.name: path.read_bytes() for path in run.predictions.iterdir()}


@pytest.mark.parametrize("kind", STUDIES)
def test_a_run_that_is_cut_anywhere_ends_with_the_same_tables(kind: str, tmp_path: Path) -> None:
    whole = play_run(tmp_path / "whole", **STUDIES[kind])
    expected = content(whole)
    lines = whole.ledger.read_bytes().splitlines(keepends=True)
    opened = next(number for number, event in enumerate(read_ledger(whole.ledger).events) if event["event"] == "confirm")
    ends = [number for number, line in enumerate(lines) if b'"event":"end"' in line]
    for cut in (ends[0] + 1, opened, opened + 1, ends[-2] - 1, ends[-1], len(lines)):
        run = copy_run(whole, tmp_path / str(cut))
        run.ledger.write_bytes(b"".join(lines[:cut]) + (lines[cut][: len(lines[cut]) // 2] if cut < len(lines) else b""))
        with played_here():
            assert resume_study(run) == DONE
        assert content(run) == expected


def test_a_run_from_before_there_was_a_confirm_phase_does_not_get_one(tmp_path: Path) -> None:
    run = play_run(tmp_path, **{**SMALL, "confirm": "none"})
    text = (run.path / "study.yaml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("confirm:")]
    assert len(lines) == len(text.splitlines()) - 1
    (run.path / "study.yaml").write_text("".join(lines), encoding="utf-8")
    with played_here():
        assert resume_study(run) == DONE
    assert {event["phase"] for event in read_ledger(run.ledger).events if event["event"] == "suggest"} == {"search"}
    assert not [event for event in read_ledger(run.ledger).events if event["event"] == "confirm"]
