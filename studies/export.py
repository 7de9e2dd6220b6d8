"""A run's tables for other programs: CSV files in a folder, or one DuckDB database."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.csv

from bsd_core.errors import ConfigError, StorageError, one_line, shown, unknown_name, why
from studies.run_folder import RunFolder
from studies.tables import Tables

COLUMNS: Final = "columns"  # the file that says what each column of the others means
_CSV_FILES: Final = frozenset(f"{name}.csv" for name in (*(field.name for field in fields(Tables)), COLUMNS))


def export_tables(run: RunFolder, tables: Tables, kind: str, out: str, *, force: bool = False) -> Path:
    """Write the four tables, whole or not at all; where to.

    Args:
        run: whose they are.
        tables: to be written, in full precision.
        kind: csv, a folder of trials.csv, epochs.csv, evaluations.csv and reliability.csv, and columns.csv, which says what each column
            means; or duckdb, a file with four tables and comments on them and on their columns. Texts are written as they are, also those
            that a spreadsheet would take for formulas.
        out: the folder or file.
        force: whether what an earlier export left there is replaced.

    Raises:
        ConfigError: another kind; something is there already, or, with `force`, something that no export has made; DuckDB is missing.
        StorageError: it cannot be written.
    """
    kinds: Mapping[str, Callable[[RunFolder, Tables, Path], None]] = {"csv": _write_csv, "duckdb": _write_duckdb}
    if kind not in kinds:
        raise unknown_name("kind of export", kind, kinds)
    if kind == "duckdb" and not _has_duckdb():
        raise ConfigError("Exporting to DuckDB needs its Python package: pip install duckdb. Or take TO=csv (--to csv).")
    path = Path(os.path.abspath(os.path.expanduser(out)))
    if os.path.lexists(path):
        _check_replaceable(path, kind, out, force=force)
    try:
        with _renamed_when_whole(path) as temporary:
            kinds[kind](run, tables, temporary)
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"Cannot write {shown(path)}: {why(error)}.") from error
    return path


def _has_duckdb() -> bool:
    try:
        import duckdb  # noqa: F401
    except ImportError:
        return False
    return True


def _check_replaceable(path: Path, kind: str, out: str, *, force: bool) -> None:
    """Whatever is not an earlier export of this kind is the user's own, and is not removed by any option."""
    if not force:
        raise ConfigError(f"{shown(out)} is there already. Give another OUT (--out), or replace it with FORCE=1 (--force).")
    if kind == "csv":
        ours = path.is_dir() and not path.is_symlink() and {entry.name for entry in path.iterdir()} <= _CSV_FILES
    else:
        ours = path.is_file() and not path.is_symlink() and (path.stat().st_size == 0 or path.read_bytes()[8:12] == b"DUCK")
    if not ours:
        raise ConfigError(f"{shown(out)} is no earlier export to {kind}, so it is not replaced. Give another OUT (--out).")


@contextlib.contextmanager
def _renamed_when_whole(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, which takes its place once the context has ended well; nothing is left of it otherwise."""
    temporary, old = (path.with_name(f".{path.name}.{os.getpid()}.{state}") for state in ("tmp", "old"))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        if path.is_dir():  # a folder that is not empty cannot be replaced in one step
            path.rename(old)
        temporary.rename(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    finally:
        for left in (temporary, old):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def _named(tables: Tables) -> dict[str, pa.Table]:
    return {field.name: getattr(tables, field.name) for field in fields(tables)}


def _meaning(field: pa.Field) -> str:
    return str((field.metadata or {}).get(b"description", b""), errors="replace")


def _write_csv(run: RunFolder, tables: Tables, folder: Path) -> None:
    folder.mkdir()
    columns = [
        {"table": name, "column": field.name, "type": str(field.type), "meaning": _meaning(field)}
        for name, table in _named(tables).items()
        for field in table.schema
    ]
    for name, table in {**_named(tables), COLUMNS: pa.Table.from_pylist(columns)}.items():
        pa.csv.write_csv(table, folder / f"{name}.csv")


def _write_duckdb(run: RunFolder, tables: Tables, path: Path) -> None:
    import duckdb

    try:
        with duckdb.connect(str(path)) as database:
            for name, table in _named(tables).items():
                database.register("arrow_table", table)
                database.execute(f"CREATE TABLE {name} AS SELECT * FROM arrow_table")
                database.unregister("arrow_table")
                database.execute(f"COMMENT ON TABLE {name} IS {_quoted(f'{name} of run {run.run_id} of study {run.study}')}")
                for field in table.schema:
                    identifier = '"' + field.name.replace('"', '""') + '"'
                    database.execute(f"COMMENT ON COLUMN {name}.{identifier} IS {_quoted(_meaning(field))}")
    except duckdb.Error as error:
        raise OSError(one_line(error)) from error


def _quoted(text: str) -> str:
    """As a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"
