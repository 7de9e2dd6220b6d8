"""What a section of the report is: numbers collected without pixels, then drawn for the page (Plotly) and for paper (matplotlib)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from studies.report.data_table import DataTable
from studies.report.palette import Style
from studies.report.source import ReportSource

Drawing = Mapping[str, Any]  # {"data": [...], "layout": {...}} of Plotly, in JSON's types
Styles = Mapping[str, Style]  # by method


class Info(Protocol):
    """The numbers of a section, all computed; a frozen dataclass."""

    @property
    def missing(self) -> str | None:
        """Why there is nothing to show, in a sentence; None where there is something."""

    @property
    def caption(self) -> str:
        """What is shown, from how many trainings, seeds and images, with which intervals and labels; asked for where nothing is missing."""

    def tables(self) -> list[DataTable]:
        """The numbers behind the charts, or the section's tables."""


@dataclass(frozen=True)
class Chart:
    """One chart on the page.

    Attributes:
        key: `[a-z0-9_]+`, unique on the page.
        alt: what it shows, for people who cannot see it.
        variants: by condition, which the reader switches; one entry, whose name is not shown, where there is nothing to switch.
    """

    key: str
    alt: str
    variants: Mapping[str, Drawing]


@dataclass(frozen=True)
class Section:
    """One part of the report.

    Attributes:
        key: anchor on the page and name of its figure, `[a-z0-9_]+`.
        title: its heading.
        lead: what a reader is to look at, in one or two sentences.
        collect: the numbers.
        charts: for the page; none where tables say it all.
        figure: for paper, a matplotlib Figure; None where tables say it all.
        foldable: whether its tables are folded below charts.
        tables: keys of all tables it can have, where that is not one with the section's own key.
    """

    key: str
    title: str
    lead: str
    collect: Callable[[ReportSource], Any]
    charts: Callable[[Any, Styles], Sequence[Chart]] | None = None
    figure: Callable[[Any, Styles], Any] | None = None
    foldable: bool = True
    tables: tuple[str, ...] = ()

    @property
    def table_keys(self) -> tuple[str, ...]:
        """Keys of all tables it can have, which name their files."""
        return self.tables or (self.key,)
