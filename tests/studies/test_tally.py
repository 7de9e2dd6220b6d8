from __future__ import annotations

import math
import re
from typing import Any

import pyarrow as pa
import pytest

from studies.tally import DifferenceError, Tally, check_leaves, same

KEY = ("trial_id", "epoch")


def table(*rows: tuple[str, int, float | None]) -> pa.Table:
    schema = pa.schema([("trial_id", pa.string()), ("epoch", pa.int64()), ("loss", pa.float64())])
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)


def problem(stored: pa.Table, recomputed: pa.Table) -> str:
    with pytest.raises(DifferenceError, match="table epochs") as caught:
        Tally().check_table("epochs", stored, recomputed, key=KEY)
    return str(caught.value)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (None, None, True),
        (math.nan, math.nan, True),
        (0.5, 0.5, True),
        ("fog", "fog", True),
        (0.0, None, False),
        (math.nan, None, False),
        (math.nan, 0.0, False),
        (0.1 + 0.2, 0.3, False),
        (1, 1.0, False),
        (1, True, False),
    ],
)
def test_values_are_the_same_to_the_last_bit_and_of_one_type(one: Any, other: Any, equal: bool) -> None:
    assert same(one, other) is equal
    assert same(other, one) is equal


def test_equal_values_are_counted() -> None:
    tally = Tally()
    tally.check_fields({"accuracy": 0.5, "ece": None}, {"accuracy": 0.5, "ece": None, "nll": None}, "trial a")
    assert (tally.compared, tally.identical, str(tally)) == (3, 3, "3 numbers agree")


def test_a_difference_is_named_with_both_values() -> None:
    with pytest.raises(DifferenceError, match=r"^table trials, trial a, column ece: null in the file, 0\.25 recomputed$"):
        Tally().check_fields({"ece": None}, {"ece": 0.25}, "table trials", "trial a")


def test_a_tolerance_is_relative_and_said() -> None:
    tally = Tally(1e-9)
    tally.check(0.3, 0.1 + 0.2, "sum")
    tally.check(1e-13, 0.0, "nothing but rounding")
    tally.check(2, 2, "count")
    assert str(tally) == "3 numbers agree, 1 of them to the last bit, the others within 1e-09"
    for one, other in ((0.3, 0.3 + 1e-8), (1e-9, 0.0), (True, 1 + 1e-10), ("1", 1.0), (None, 0.0)):
        with pytest.raises(DifferenceError, match="in the file"):
            tally.check(one, other, "too far")


def test_equal_tables_count_every_cell() -> None:
    tally = Tally()
    rows = [("a", 1, 0.5), ("a", 2, None), ("b", 1, math.nan)]
    tally.check_table("epochs", table(*rows), table(*rows), key=KEY)
    assert (tally.compared, tally.identical) == (9, 9)


def test_of_several_different_cells_the_one_of_the_first_row_is_named() -> None:
    stored = table(("a", 1, 0.5), ("a", 2, 0.5), ("b", 1, 0.5))
    assert problem(stored, table(("a", 1, 0.5), ("a", 2, 0.25), ("b", 1, 0.25))) == (
        "table epochs, trial a, epoch 2, column loss: 0.5 in the file, 0.25 recomputed"
    )


@pytest.mark.parametrize(
    ("stored", "recomputed", "message"),
    [
        ("a", "ab", "trial b, epoch 1: this row is missing in the file"),
        ("b", "ab", "trial a, epoch 1: this row is missing in the file"),
        ("", "a", "trial a, epoch 1: this row is missing in the file"),
        ("ab", "a", "trial b, epoch 1: this row is in the file, but not when recomputed"),
        ("aab", "ab", "trial a, epoch 1: this row is in the file, but not when recomputed"),
        ("ba", "ab", "trial b, epoch 1: its rows are in another order"),
        ("aa", "ab", "trial b, epoch 1: this row is missing in the file"),
    ],
)
def test_rows_that_are_missing_too_much_or_moved_are_named(stored: str, recomputed: str, message: str) -> None:
    first, second = (table(*((trial, 1, 0.5) for trial in trials)) for trials in (stored, recomputed))
    assert problem(first, second) == f"table epochs, {message}"


def test_columns_that_are_missing_too_much_or_of_another_type_are_named() -> None:
    right = table(("a", 1, 0.5))
    assert problem(right.drop_columns("loss"), right) == "table epochs, column loss: missing in the file"
    assert problem(right, right.drop_columns("loss")) == "table epochs, column loss: in the file, but not when recomputed"
    narrow = right.set_column(2, "loss", right["loss"].cast(pa.float32()))
    assert problem(narrow, right) == "table epochs, column loss: float in the file, double recomputed"


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"a": {"b": [1, 2.5]}}, "document, a.b[1]: 2.5 in the file, 2.0 recomputed"),
        ({"a": {"b": [1]}}, "document, length of a.b: 1 in the file, 2 recomputed"),
        ({"a": {}}, "document, a.b: missing in the file"),
        ({"a": {"b": [1, 2.0], "c": None}}, "document, a.c: in the file, but not when recomputed"),
        ({"a": {"b": {"c": 1}}}, "document, a.b: a mapping in the file, a list of 2 recomputed"),
        ({"a": {"b": "x" * 200}}, f"document, a.b: '{'x' * 77}…' in the file, a list of 2 recomputed"),
        ({"a": None}, "document, a: null in the file, a mapping recomputed"),
    ],
)
def test_documents_are_compared_leaf_by_leaf(stored: Any, message: str) -> None:
    tally = Tally()
    check_leaves("document", {"a": {"b": [1, 2.0]}}, {"a": {"b": [1, 2.0]}}, tally)
    assert tally.compared == 3  # two numbers and a length
    with pytest.raises(DifferenceError, match=f"^{re.escape(message)}$"):
        check_leaves("document", stored, {"a": {"b": [1, 2.0]}}, tally)
