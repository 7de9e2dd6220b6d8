"""report/index.html: one file with its script, style and numbers in it, which opens from disk without a network."""

from __future__ import annotations

import base64
import bisect
import html
import importlib.resources
import itertools
import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from studies.report.data_table import Column, DataTable
from studies.report.page.limits import CHARTS, MOST_ROWS, fair_share, room, rounded, that_fit
from studies.report.section import Chart, Section
from studies.report.source import ReportSource

_FOLDER: Final = importlib.resources.files("studies.report.page")
_MARKUP: Final = 100  # bytes of a cell in HTML without its texts, at most: a button to copy a command


@dataclass(frozen=True)
class Cell:
    """One cell of a table on the page: what is read, and what rows are ordered by."""

    text: str
    order: str
    command: bool
    number: bool


@dataclass(frozen=True)
class PageTable:
    """A table as the page has it.

    Attributes:
        csv: the same numbers: a data URI, or the path of the file where that is too large.
        parquet: path of its file, relative to the page.
        too_long: how many rows are left out of the page; they are in the files.
    """

    key: str
    caption: str
    titles: list[tuple[str, bool]]
    rows: list[list[Cell]]
    csv: str
    parquet: str
    too_long: int


@dataclass(frozen=True)
class PageSection:
    """A section as the page has it.

    Attributes:
        charts: without those that are too large for the page.
        left_out: what these show.
    """

    key: str
    title: str
    lead: str
    caption: str
    missing: str | None
    charts: Sequence[Chart]
    left_out: list[str]
    tables: list[PageTable]
    foldable: bool


def build_page(source: ReportSource, answer: Sequence[str], sections: Sequence[tuple[Section, Any]]) -> str:
    """The page as HTML.

    Args:
        source: of the run.
        answer: sentences that answer the study's question.
        sections: each with its collected numbers.
    """
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    plotly = plotly_script()
    most = room(len(plotly.encode()))
    drawn = {section.key: list(_charts(section, info, source)) for section, info in sections}
    sizes = {chart.key: len(script_json(dict(chart.variants))) for charts in drawn.values() for chart in charts}
    kept = that_fit(sizes, int(CHARTS * most))
    tables = {section.key: [] if info.missing else [_Cells.of(table) for table in info.tables()] for section, info in sections}
    of_tables = most - sum(sizes[key] for key in kept)
    share = fair_share([table.n_bytes for members in tables.values() for table in members], of_tables)
    pages = [_page_section(section, info, drawn[section.key], kept, tables[section.key], share) for section, info in sections]
    charts = {chart.key: dict(chart.variants) for members in pages for chart in members.charts}
    page: str = environment.from_string(_text("page.html.j2")).render(
        source=source,
        question=source.spec.question,
        answer=list(answer),
        sections=pages,
        conditions=source.conditions if any(len(variants) > 1 for variants in charts.values()) else [],
        style=_text("page.css"),
        script=_text("page.js"),
        plotly=plotly,
        charts=script_json(charts),
    )
    return page


def script_json(value: Any) -> str:
    """JSON that can stand inside a script element: no text in it can end the element or begin a comment. Numbers are rounded."""
    text = json.dumps(rounded(value), allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def plotly_script() -> str:
    """Plotly's own script, from its Python package."""
    return (importlib.resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _charts(section: Section, info: Any, source: ReportSource) -> Sequence[Chart]:
    return () if info.missing or section.charts is None else section.charts(info, source.styles)


def _page_section(
    section: Section, info: Any, charts: Sequence[Chart], kept: Container[str], tables: Sequence[_Cells], share: int
) -> PageSection:
    return PageSection(
        section.key,
        section.title,
        section.lead,
        "" if info.missing else info.caption,
        info.missing,
        [chart for chart in charts if chart.key in kept],
        [chart.alt for chart in charts if chart.key not in kept],
        [table.page_table(share) for table in tables],
        section.foldable and bool(charts),
    )


@dataclass(frozen=True)
class _Cells:
    """A table before it is known how many of its rows fit.

    Attributes:
        table: it.
        rows: as many as are ever shown.
        sizes: bytes of each of these in HTML, at most.
        csv: a data URI; empty where rows are left out anyway.
    """

    table: DataTable
    rows: list[list[Cell]]
    sizes: list[int]
    csv: str

    @classmethod
    def of(cls, table: DataTable) -> _Cells:
        rows = [[_cell(table, row, column) for column in table.shown] for row in table.rows[:MOST_ROWS]]
        sizes = [sum(_MARKUP + len(html.escape(cell.text + cell.order).encode()) for cell in row) for row in rows]
        whole = len(table.rows) <= MOST_ROWS
        csv = f"data:text/csv;base64,{base64.b64encode(table.csv().encode()).decode()}" if whole else ""
        return cls(table, rows, sizes, csv)

    @property
    def n_bytes(self) -> int:
        """With all rows."""
        return sum(self.sizes) + len(self.csv)

    def page_table(self, most_bytes: int) -> PageTable:
        """With as many rows as fit into so many bytes; with its CSV where that does, too."""
        table, before = self.table, list(itertools.accumulate(self.sizes))
        shown = self.rows[: bisect.bisect_right(before, most_bytes)]
        inside = self.csv and self.n_bytes <= most_bytes
        titles = [(column.title, _is_number(column)) for column in table.shown]
        csv = self.csv if inside else f"data/{table.key}.csv"
        return PageTable(table.key, table.caption, titles, shown, csv, f"data/{table.key}.parquet", len(table.rows) - len(shown))


def _is_number(column: Column) -> bool:
    return column.kind not in ("text", "command")


def _cell(table: DataTable, row: Mapping[str, Any], column: Column) -> Cell:
    order = table.sort_value(row, column)
    return Cell(table.text(row, column), "" if order is None else str(order), column.kind == "command", _is_number(column))
