from __future__ import annotations

import re
from pathlib import Path

import pytest

import studies
from bsd_core.errors import ConfigError, DataError
from studies.commands import command
from studies.results import write_results
from studies.statistics.document import update_statistics
from studies.tables import write_tables
from tests.studies._dummies import make_events, make_run, make_suggest, make_tables
from tests.studies._played_runs import edit_table


def test_the_public_names() -> None:
    assert studies.__all__ == ["Run", "load"]


@pytest.mark.parametrize("by", ["name", "path", "latest"])
def test_a_run_is_loaded_by_study_name_or_folder(by: str, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    tables = make_tables(("bsd/none", 0, 0.9, 0.1))
    write_tables(run, tables, {})
    places: dict[str, str | Path] = {"name": "mine", "path": run.path, "latest": run.path.parent / "latest"}
    loaded = studies.load(places[by], results=tmp_path)
    assert loaded.path == run.path
    assert loaded.trials.equals(tables.trials)
    assert loaded.epochs.equals(tables.epochs)
    assert loaded.evaluations.equals(tables.evaluations)
    assert loaded.reliability.equals(tables.reliability)


def test_statistics_are_those_of_the_report(tmp_path: Path) -> None:
    run = make_run(tmp_path, make_events(("bsd/none", 0, 0.9, 0.1), ("cross_entropy/none", 0, 0.7, 0.2)))
    tables = write_results(run)
    assert tables is not None
    assert studies.load("mine", results=tmp_path).statistics == update_statistics(run, tables)


def test_statistics_of_edited_tables_are_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, make_events(("bsd/none", 0, 0.9, 0.1)))
    assert write_results(run) is not None
    edit_table(run.tables / "trials.parquet", lambda table: table.drop_columns(["val_ece"]))
    with pytest.raises(DataError, match="were edited"):
        _ = studies.load("mine", results=tmp_path).statistics


def test_an_unknown_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No run of 'nope'"):
        studies.load("nope", results=tmp_path)


def test_a_run_without_tables_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path, make_events(("bsd/none", 0, 0.9, 0.1)))
    with pytest.raises(DataError, match=r"No table '.*trials\.parquet': tables are written when a run ends"):
        studies.load("mine", results=tmp_path)


def test_a_run_without_a_trial_that_ended_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, [make_suggest("bsd/none", 0)])
    with pytest.raises(DataError, match=f"^No trial of {run.path} has ended; finish the run: {re.escape(command('resume', run.path))}$"):
        studies.load("mine", results=tmp_path)
