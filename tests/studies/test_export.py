from __future__ import annotations

import csv
import math
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest

from bsd_core.errors import ConfigError, StorageError
from studies import export as module
from studies.export import export_tables
from studies.results import write_results
from studies.run_folder import RunFolder
from studies.tables import EPOCHS, EVALUATIONS, RELIABILITY, TRIALS, Tables, build_tables
from tests.studies._command_line import main
from tests.studies._dummies import CONSTANTS, make_events, make_run

NAMES = ("trials", "epochs", "evaluations", "reliability")
SCHEMAS = {"trials": TRIALS, "epochs": EPOCHS, "evaluations": EVALUATIONS, "reliability": RELIABILITY}
EVENTS = make_events(("bsd/none", 0, 1 / 3, 0.1), ("bsd/none", 1, None, 0.0), ("cross_entropy/none", 0, 0.7, 0.2))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    made = make_run(tmp_path_factory.mktemp("run"), EVENTS)
    write_results(made)
    return made


@pytest.fixture(scope="module")
def tables() -> Tables:
    return build_tables(EVENTS, {**CONSTANTS, "dataset": "=1+1", "study": "it's"})


def test_csv_files_hold_every_row_and_digit(run: RunFolder, tables: Tables, tmp_path: Path) -> None:
    folder = export_tables(run, tables, "csv", str(tmp_path / "out"))
    assert {path.name for path in folder.iterdir()} == {*(f"{name}.csv" for name in NAMES), "columns.csv"}
    for name in NAMES:
        table: pa.Table = getattr(tables, name)
        types = {field.name: field.type for field in table.schema}
        options = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=True, quoted_strings_can_be_null=False)
        read = pyarrow.csv.read_csv(folder / f"{name}.csv", convert_options=options)
        assert read.to_pydict() == table.to_pydict()


def test_texts_like_formulas_are_left_as_they_are(run: RunFolder, tables: Tables, tmp_path: Path) -> None:
    folder = export_tables(run, tables, "csv", str(tmp_path / "out"))
    with (folder / "trials.csv").open(encoding="utf-8", newline="") as file:
        assert {row["dataset"] for row in csv.DictReader(file)} == {"=1+1"}


def test_columns_are_explained(run: RunFolder, tables: Tables, tmp_path: Path) -> None:
    folder = export_tables(run, tables, "csv", str(tmp_path / "out"))
    with (folder / "columns.csv").open(encoding="utf-8", newline="") as file:
        rows = {(row["table"], row["column"]): row for row in csv.DictReader(file)}
    assert len(rows) == sum(len(getattr(tables, name).schema) for name in NAMES)
    assert rows["epochs", "train_loss"] == {"table": "epochs", "column": "train_loss", "type": "double", "meaning": "mean total loss; nats"}


def test_a_database_has_the_tables_with_comments(run: RunFolder, tables: Tables, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    path = export_tables(run, tables, "duckdb", str(tmp_path / "out.duckdb"))
    with duckdb.connect(str(path), read_only=True) as database:
        shown = database.execute("SELECT table_name, comment FROM duckdb_tables() ORDER BY table_name").fetchall()
        assert shown == [(name, f"{name} of run {run.run_id} of study mine") for name in sorted(NAMES)]
        comments = dict(
            database.execute("SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'trials' AND NOT internal").fetchall()
        )
        assert comments["val_ece"] == TRIALS.field("val_ece").metadata[b"description"].decode()
        assert comments["run_id"] == "the run this trial belongs to"
        for name in NAMES:
            table: pa.Table = getattr(tables, name)
            values = database.execute(f"SELECT * FROM {name}").fetchall()
            assert values == list(zip(*table.to_pydict().values(), strict=True))
        (best,) = database.execute("SELECT max(val_accuracy) FROM trials WHERE arm = 'bsd/none'").fetchone()
    assert best == 1 / 3
    assert math.isclose(best, 0.3333333333333333, rel_tol=0)


@pytest.mark.parametrize(("kind", "name"), [("csv", "out"), ("duckdb", "out.duckdb")])
def test_nothing_is_overwritten_unasked_and_only_exports_ever(kind: str, name: str, run: RunFolder, tables: Tables, tmp_path: Path) -> None:
    out = tmp_path / name
    export_tables(run, tables, kind, str(out))
    with pytest.raises(ConfigError, match=r"is there already\. Give another OUT \(--out\), or replace it with FORCE=1 \(--force\)"):
        export_tables(run, tables, kind, str(out))
    export_tables(run, tables, kind, str(out), force=True)
    if kind == "csv":
        (out / "mine.txt").write_text("precious", encoding="utf-8")
    else:
        out.write_bytes(b"precious" * 9)
    with pytest.raises(ConfigError, match="is no earlier export"):
        export_tables(run, tables, kind, str(out), force=True)
    assert b"precious" in (out / "mine.txt" if kind == "csv" else out).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("kind", "name"), [("csv", "out"), ("duckdb", "out.duckdb")])
def test_a_write_that_fails_leaves_what_was_there(
    kind: str, name: str, run: RunFolder, tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = export_tables(run, tables, kind, str(tmp_path / name))
    before = {path.name: path.read_bytes() for path in (sorted(out.iterdir()) if out.is_dir() else [out])}

    def broken(run: RunFolder, tables: Tables, path: Path) -> None:
        writers[kind](run, tables, path)
        raise OSError(28, "No space left on device")

    writers = {"csv": module._write_csv, "duckdb": module._write_duckdb}
    monkeypatch.setattr(module, f"_write_{kind}", broken)
    with pytest.raises(StorageError, match="No space left"):
        export_tables(run, tables, kind, str(out), force=True)
    assert {path.name: path.read_bytes() for path in (sorted(out.iterdir()) if out.is_dir() else [out])} == before
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_unknown_kind_is_told_the_known_ones(run: RunFolder, tables: Tables, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'duckdb'\? Known: csv, duckdb"):
        export_tables(run, tables, "duck", str(tmp_path / "out"))


def test_without_duckdb_the_way_out_is_said(run: RunFolder, tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ConfigError, match="pip install duckdb"):
        export_tables(run, tables, "duckdb", str(tmp_path / "out"))


def test_the_command_writes_and_refuses(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "made" / "out")
    assert main(monkeypatch, "export", str(run.path), "--to", "csv", "--out", out) == 0
    assert out in capfd.readouterr().out
    assert main(monkeypatch, "export", str(run.path), "--to", "csv", "--out", out) == 2
    assert capfd.readouterr().err.count("\n") == 1
    assert main(monkeypatch, "export", str(run.path), "--to", "csv", "--out", out, "--force") == 0
