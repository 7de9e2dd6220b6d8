"""The numbers behind a chart or a table of the report: shown on the page, in LaTeX and Markdown, and stored as CSV and Parquet.

Values are kept as they are measured (fractions, seconds); a column says how they are shown.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import pyarrow as pa

Kind = Literal["text", "whole", "percent", "points", "number", "command"]
Cell = str | int | float | bool | None
MISSING: Final = "–"

_TYPES: Final = {
    "text": pa.string(),
    "command": pa.string(),
    "whole": pa.int64(),
    "percent": pa.float64(),
    "points": pa.float64(),
    "number": pa.float64(),
}


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: in CSV and Parquet.
        title: above it where people read; with the unit.
        kind: text; whole numbers; percent, a fraction shown times 100; points, a difference of fractions shown times 100 with its sign;
            number, shown as it is; command, text to be copied.
        digits: after the point, of percent, points and number.
        low, high: names of columns with the ends of an interval that is shown beside the value. These are not shown by themselves.
        mark: name of a text column shown behind the value, such as a verdict; not shown by itself.
        significant: significant digits in place of `digits`, for settings whose size is unknown.
    """

    name: str
    title: str
    kind: Kind = "text"
    digits: int = 1
    low: str | None = None
    high: str | None = None
    mark: str | None = None
    significant: int | None = None


def interval_columns(name: str, title: str, kind: Kind, digits: int = 1, *, mark: str | None = None) -> tuple[Column, Column, Column]:
    """A value and the ends of its interval, `<name>_low` and `<name>_high`, which are shown beside it.

    Args:
        name, title, kind, digits, mark: of the value's column.
    """
    low, high = f"{name}_low", f"{name}_high"
    return (
        Column(name, title, kind, digits, low=low, high=high, mark=mark),
        Column(low, f"{title}, lower end", kind, digits),
        Column(high, f"{title}, upper end", kind, digits),
    )


@dataclass(frozen=True)
class DataTable:
    """Rows by column.

    Attributes:
        key: name of its files, `[a-z0-9_]+`, unique in a report.
        caption: what it holds, in a phrase.
        columns: in order.
        rows: one mapping a row, by name of column; a missing name is a missing value.
    """

    key: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Cell]] = field(default_factory=list)

    @property
    def shown(self) -> list[Column]:
        """Columns that stand by themselves."""
        beside = {name for column in self.columns for name in (column.low, column.high, column.mark)}
        return [column for column in self.columns if column.name not in beside]

    def text(self, row: Mapping[str, Cell], column: Column) -> str:
        """A cell as people read it: `95.4 [93.9, 96.9] better`."""
        value = row.get(column.name)
        if value is None:
            return MISSING
        low, high = (row.get(name) if name else None for name in (column.low, column.high))
        text = _shown(value, column)
        if low is not None and high is not None:
            text += f" [{_shown(low, column)}, {_shown(high, column)}]"
        mark = row.get(column.mark) if column.mark else None
        return text if mark in (None, "") else f"{text} {mark}"

    def sort_value(self, row: Mapping[str, Cell], column: Column) -> float | str | None:
        """What a reader would order the rows by."""
        value = row.get(column.name)
        return None if value is None else value if column.kind in ("text", "command") else float(value)

    def arrow(self) -> pa.Table:
        """All columns, those beside others too; with titles in the fields' metadata."""
        schema = pa.schema([pa.field(column.name, _TYPES[column.kind], metadata={"title": column.title}) for column in self.columns])
        arrays = [pa.array([row.get(field.name) for row in self.rows], field.type) for field in schema]
        return pa.Table.from_arrays(arrays, schema=schema.with_metadata({"caption": self.caption}))

    def csv(self) -> str:
        """All columns, with a first line of names; numbers with all their digits."""
        sink = io.StringIO()
        writer = csv.writer(sink, lineterminator="\n")
        writer.writerow([column.name for column in self.columns])
        writer.writerows([["" if (value := row.get(column.name)) is None else value for column in self.columns] for row in self.rows])
        return sink.getvalue()


def _shown(value: Any, column: Column) -> str:
    if column.kind == "whole":
        return f"{value:,}"
    if column.kind in ("text", "command"):
        return str(value)
    scale = 100 if column.kind in ("percent", "points") else 1
    sign = "+" if column.kind == "points" else ""
    if column.significant is not None:
        return f"{scale * value:{sign}.{column.significant}g}"
    return f"{scale * value:{sign}.{column.digits}f}"
