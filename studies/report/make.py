"""The report of a run from its tables, whatever state the run is in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studies.report.write import report_source, write_page
from studies.results import run_constants
from studies.run_folder import RunFolder
from studies.statistics.document import collect_statistics, update_statistics
from studies.statistics.file import read_statistics
from studies.tables import Tables, build_tables, read_tables
from studies.verify_form import require_form


def make_report(run: RunFolder) -> tuple[Tables, Mapping[str, Any], Path]:
    """Statistics and page of a run whose tables are there: the tables, the statistics, the page's path.

    Raises:
        ConfigError: the run's study.yaml is missing or broken.
        DataError: a table is missing, broken, of another schema version or of another form; or no trial has ended.
        StorageError: something cannot be written.
    """
    tables = read_tables(run)
    require_form(run, tables)
    document = update_statistics(run, tables)
    return tables, document, write_run_page(run, tables, document)


def write_run_page(run: RunFolder, tables: Tables, document: Mapping[str, Any]) -> Path:
    """Only the page, from statistics of these tables; its path.

    Raises:
        ConfigError, DataError, StorageError: as `make_report`.
    """
    return write_page(report_source(run, tables, document), run.page.parent)


def refresh_page(run: RunFolder) -> None:
    """Write the page again from the statistics as they are stored, if there are both.

    What `verify` found is told on the page. Where it found tables or statistics that no page can be made of, as those of another version,
    the old page stays.
    """
    if not (run.page.is_file() and run.statistics.is_file()):
        return
    try:
        tables = read_tables(run)
        require_form(run, tables)
        write_run_page(run, tables, read_statistics(run))
    except Exception:  # anybody may have written anything there, which is what `verify` has just said
        return


def write_empty_page(run: RunFolder) -> Path:
    """The page of a run of which no trial has ended, which says so; its path.

    Raises:
        ConfigError: the run's study.yaml is missing or broken.
        StorageError: it cannot be written.
    """
    spec = run.spec()
    tables = build_tables([], run_constants(run, spec))
    return write_run_page(run, tables, collect_statistics(tables, spec, run.predictions))
