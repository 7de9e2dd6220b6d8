"""Writing the report: the page, and the numbers behind each chart as files beside it."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from bsd_core.errors import StorageError, one_line
from studies.report.infos.answer import collect_answer
from studies.report.page.build import build_page
from studies.report.section import Section
from studies.report.sections import SECTIONS
from studies.report.source import ReportSource
from studies.run_folder import RunFolder, write_atomically
from studies.tables import Tables


def report_source(run: RunFolder, tables: Tables, document: Mapping[str, Any]) -> ReportSource:
    """What a run's report is made from: its tables, and the statistics of these."""
    return ReportSource(run.study, run.run_id, run.spec(), tables, document, run.provenance(), run.path, run.place)


def collect_sections(source: ReportSource) -> list[tuple[Section, Any]]:
    """Every section with its numbers."""
    return [(section, section.collect(source)) for section in SECTIONS]


def write_page(source: ReportSource, folder: Path) -> Path:
    """Write index.html and data/*.csv, *.parquet; in data/, what an earlier report had and this one has not is removed.

    Args:
        source: of the run.
        folder: of the report.

    Returns:
        The page's path.

    Raises:
        DataError: stored predictions or features are broken.
        StorageError: it cannot be written.
    """
    sections = collect_sections(source)
    write_data(sections, folder / "data")
    page = folder / "index.html"
    write_atomically(page, build_page(source, collect_answer(source).sentences, sections).encode())
    return page


def write_data(sections: Sequence[tuple[Section, Any]], folder: Path) -> None:
    """Write the numbers behind each section as <key>.csv and <key>.parquet, and remove those of sections that have none any more.

    Raises:
        StorageError: something cannot be written or removed.
    """
    written: set[str] = set()
    for _, info in sections:
        for table in [] if info.missing else info.tables():
            sink = io.BytesIO()
            pq.write_table(table.arrow(), sink)
            for name, content in ((f"{table.key}.csv", table.csv().encode()), (f"{table.key}.parquet", sink.getvalue())):
                write_atomically(folder / name, content)
                written.add(name)
    ours = {f"{key}.{kind}" for section, _ in sections for key in section.table_keys for kind in ("csv", "parquet")}
    _remove(folder, ours - written)


def _remove(folder: Path, names: set[str]) -> None:
    """Remove files of an earlier report, which would tell of what the page no longer does; no folder or link, and nothing beyond one."""
    if folder.is_symlink() or not folder.is_dir():
        return
    try:
        with os.scandir(folder) as found:
            stale = [entry.path for entry in found if entry.name in names and entry.is_file(follow_symlinks=False)]
        for path in stale:
            os.unlink(path)
    except OSError as error:
        raise StorageError(f"Cannot remove earlier numbers in {str(folder)!r}: {one_line(error, limit=120)}.") from error
