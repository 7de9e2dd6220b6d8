"""report/index.html: one file with its script, style and numbers in it, which opens from disk without a network."""

from __future__ import annotations

import base64
import importlib.resources
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from studies.report.data_table import Column, DataTable
from studies.report.section import Chart, Section
from studies.report.source import ReportSource

_FOLDER: Final = importlib.resources.files("studies.report.page")


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
        csv: a data URI of the same numbers.
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
    """A section as the page has it."""

    key: str
    title: str
    lead: str
    caption: str
    missing: str | None
    charts: Sequence[Chart]
    tables: list[PageTable]
    foldable: bool


_MOST_ROWS: Final = 500  # of a table on the page


def build_page(source: ReportSource, answer: Sequence[str], sections: Sequence[tuple[Section, Any]]) -> str:
    """The page as HTML.

    Args:
        source: of the run.
        answer: sentences that answer the study's question.
        sections: each with its collected numbers.
    """
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    pages = [_page_section(section, info, source) for section, info in sections]
    charts = {chart.key: dict(chart.variants) for page in pages for chart in page.charts}
    html: str = environment.from_string(_text("page.html.j2")).render(
        source=source,
        question=source.spec.question,
        answer=list(answer),
        sections=pages,
        conditions=source.conditions if any(len(variants) > 1 for variants in charts.values()) else [],
        style=_text("page.css"),
        script=_text("page.js"),
        plotly=plotly_script(),
        charts=script_json(charts),
    )
    return html


def script_json(value: Any) -> str:
    """JSON that can stand inside a script element: no text in it can end the element or begin a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def plotly_script() -> str:
    """Plotly's own script, from its Python package."""
    return (importlib.resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _page_section(section: Section, info: Any, source: ReportSource) -> PageSection:
    missing = info.missing
    charts = () if missing or section.charts is None else section.charts(info, source.styles)
    tables = [] if missing else [_page_table(table) for table in info.tables()]
    foldable = section.foldable and bool(charts)
    caption = "" if missing else info.caption
    return PageSection(section.key, section.title, section.lead, caption, missing, charts, tables, foldable)


def _page_table(table: DataTable) -> PageTable:
    rows = [[_cell(table, row, column) for column in table.shown] for row in table.rows[:_MOST_ROWS]]
    csv = base64.b64encode(table.csv().encode()).decode()
    titles = [(column.title, _is_number(column)) for column in table.shown]
    left_out = max(0, len(table.rows) - _MOST_ROWS)
    return PageTable(table.key, table.caption, titles, rows, f"data:text/csv;base64,{csv}", f"data/{table.key}.parquet", left_out)


def _is_number(column: Column) -> bool:
    return column.kind not in ("text", "command")


def _cell(table: DataTable, row: Mapping[str, Any], column: Column) -> Cell:
    order = table.sort_value(row, column)
    return Cell(table.text(row, column), "" if order is None else str(order), column.kind == "command", _is_number(column))
