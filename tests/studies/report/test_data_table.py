"""The numbers behind a chart: how they are shown, ordered and stored."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from studies.report.data_table import MISSING, Column, DataTable

COLUMNS = (
    Column("method", "method"),
    Column("accuracy", "accuracy, %", "percent", low="low", high="high", mark="verdict"),
    Column("low", "low", "percent"),
    Column("high", "high", "percent"),
    Column("verdict", "verdict"),
    Column("gain", "gain, points", "points", digits=2),
    Column("images", "images", "whole"),
    Column("rate", "learning rate", "number", significant=2),
    Column("command", "retrain", "command"),
)
ROW: dict[str, Any] = {
    "method": "bsd, <b>",
    "accuracy": 0.9543,
    "low": 0.939,
    "high": 0.9696,
    "verdict": "better",
    "gain": -0.01234,
    "images": 12345,
    "rate": 0.00052,
    "command": "python -m studies retrain a b",
}
TABLE = DataTable("points", "Points", COLUMNS, [ROW, {"method": "cs_kd"}])


def test_what_stands_beside_another_column_is_not_shown_by_itself() -> None:
    assert [column.name for column in TABLE.shown] == ["method", "accuracy", "gain", "images", "rate", "command"]


def test_cells_are_shown_with_their_units() -> None:
    shown = [TABLE.text(ROW, column) for column in TABLE.shown]
    assert shown == ["bsd, <b>", "95.4 [93.9, 97.0] better", "-1.23", "12,345", "0.00052", "python -m studies retrain a b"]


@pytest.mark.parametrize("missing", ["low", "high"])
def test_an_interval_with_one_end_is_none(missing: str) -> None:
    assert TABLE.text(ROW | {missing: None}, COLUMNS[1]) == "95.4 better"


def test_missing_cells_are_shown_as_such_and_ordered_apart() -> None:
    assert [TABLE.text(TABLE.rows[1], column) for column in TABLE.shown[1:]] == [MISSING] * 5
    assert [TABLE.sort_value(TABLE.rows[1], column) for column in TABLE.shown[1:]] == [None] * 5


def test_rows_are_ordered_by_values_not_by_what_is_shown() -> None:
    assert [TABLE.sort_value(ROW, column) for column in TABLE.shown[:4]] == ["bsd, <b>", 0.9543, -0.01234, 12345.0]


def test_files_hold_every_column_with_all_digits() -> None:
    names = [column.name for column in COLUMNS]
    lines = list(csv.reader(io.StringIO(TABLE.csv())))
    assert lines[0] == names
    assert lines[1] == [str(ROW[name]) for name in names]
    assert lines[2] == ["cs_kd", *[""] * (len(names) - 1)]
    arrow = TABLE.arrow()
    assert arrow.to_pylist() == [ROW, dict.fromkeys(names) | {"method": "cs_kd"}]
    assert arrow.schema.field("accuracy").metadata == {b"title": b"accuracy, %"}
    assert arrow.schema.metadata == {b"caption": b"Points"}
