"""Figures and tables for a paper: `python -m studies figures`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bsd_core.errors import one_line
from studies.report.figures.paper_style import SINGLE, draw_for_paper, save_for_paper
from studies.report.latex import latex_figure, latex_table, paper_columns
from studies.report.markdown import markdown_table
from studies.report.section import Section
from studies.report.source import ReportSource
from studies.report.write import collect_sections, write_data
from studies.run_folder import write_atomically

KINDS: Final = ("png", "svg", "pdf")
_LONGEST: Final = 60  # rows of a table that can be printed


@dataclass
class PaperFiles:
    """What was written.

    Attributes:
        figures: keys of report/figures/<key>.png, .svg, .pdf and .tex, which includes the PDF below its caption.
        tables: keys of report/tables/<key>.tex and .md.
        missing: by key of a section without anything to show, why.
        too_long: by key of a table that is too long to be printed, how many rows it has.
        broken: by key of a figure that could not be drawn, why; all others are there.
    """

    figures: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    too_long: dict[str, int] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


def write_paper(source: ReportSource, folder: Path) -> PaperFiles:
    """Write figures/, tables/ and data/ of the sections that have something to show; the same run gives the same bytes.

    Args:
        source: of the run.
        folder: of the report.

    Raises:
        DataError: stored predictions or features are broken.
        StorageError: something cannot be written.
    """
    written = PaperFiles()
    sections = collect_sections(source)
    write_data(sections, folder / "data")
    for section, info in sections:
        if info.missing:
            written.missing[section.key] = info.missing
            continue
        if section.figure is not None:
            _add_figure(written, section, info, source, folder / "figures")
        for table in info.tables():
            if not table.rows or not paper_columns(table):
                continue
            if len(table.rows) > _LONGEST:
                written.too_long[table.key] = len(table.rows)
                continue
            caption = caption_of(table.caption, info.caption)
            write_atomically(folder / "tables" / f"{table.key}.tex", latex_table(table, caption).encode())
            write_atomically(folder / "tables" / f"{table.key}.md", markdown_table(table, caption).encode())
            written.tables.append(table.key)
    return written


def _add_figure(written: PaperFiles, section: Section, info: Any, source: ReportSource, folder: Path) -> None:
    assert section.figure is not None
    try:
        figure = draw_for_paper(section.figure, info, source.styles)
    except Exception as error:  # a mistake of ours in one is no reason to go without the others
        written.broken[section.key] = one_line(error, limit=120)
        return
    save_for_paper(figure, folder, section.key, KINDS)
    text = latex_figure(section.key, caption_of(section.title, info.caption), wide=figure.get_figwidth() > SINGLE)
    write_atomically(folder / f"{section.key}.tex", text.encode())
    written.figures.append(section.key)


def caption_of(title: str, caption: str) -> str:
    """A title and what is to be known besides, as one paragraph."""
    lines = [" ".join(line.split()) for line in (title, *caption.splitlines()) if line.strip()]
    return " ".join(line if line.endswith((".", "!", "?", ":")) else f"{line}." for line in lines)


def summary(written: PaperFiles) -> Iterator[str]:
    """What to say of it, a line each."""
    yield (
        f"  figures  {_listed(written.figures, 'report/figures')}: .png, .svg, .pdf, and .tex with the caption"
        if written.figures
        else ("  figures  none")
    )
    yield f"  tables   {_listed(written.tables, 'report/tables')}: .tex, .md" if written.tables else "  tables   none"
    for key, n_rows in written.too_long.items():
        yield f"  too long {key}: {n_rows} rows, more than the {_LONGEST} that fit a page; see report/data/{key}.csv"
    for key, why in written.missing.items():
        yield f"  missing  {key}: {why}"
    for key, why in written.broken.items():
        yield f"  BROKEN   {key} could not be drawn: {why}"


def _listed(keys: Sequence[str], folder: str) -> str:
    return f"{folder}/{keys[0]}" if len(keys) == 1 else f"{folder}/{{{','.join(keys)}}}"
