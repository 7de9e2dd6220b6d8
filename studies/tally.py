"""Numbers that should be equal: counted as long as they are, and the first one that is not is named."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from bsd_core.errors import shown

TOLERANCE: Final = 1e-9  # relative: what another order of summation may change in a metric that is computed again


class DifferenceError(Exception):
    """A number of a file is not what it is when computed again; the message names it in one line."""


@dataclass
class Tally:
    """Counts comparisons.

    Attributes:
        tolerance: relative; 0 asks for the same bits.
        compared: numbers (and texts, and nulls) compared so far.
        identical: of these, those that were the same to the last bit.
    """

    tolerance: float = 0.0
    compared: int = 0
    identical: int = 0

    def check(self, stored: object, recomputed: object, *where: object) -> None:
        """Compare one value.

        Args:
            stored: in the file; null equals null and NaN equals NaN.
            recomputed: as it should be.
            where: parts of the place's name, joined by commas.

        Raises:
            DifferenceError: they are not equal.
        """
        identical = same(stored, recomputed)
        if not identical and not self._near(stored, recomputed):
            raise DifferenceError(f"{', '.join(map(str, where))}: {_text(stored)} in the file, {_text(recomputed)} recomputed")
        self.compared += 1
        self.identical += identical

    def add(self, n: int) -> None:
        """Count `n` values that were found equal elsewhere."""
        self.compared, self.identical = self.compared + n, self.identical + n

    def _near(self, stored: object, recomputed: object) -> bool:
        if not self.tolerance or isinstance(stored, bool) or not (isinstance(stored, int | float) and isinstance(recomputed, int | float)):
            return False
        # Metrics are sums of terms of size 1, so near 0 the rounding of these terms is all there is.
        try:
            return math.isclose(stored, recomputed, rel_tol=self.tolerance, abs_tol=self.tolerance / 1000)
        except OverflowError:  # a whole number that no float holds
            return False

    def check_fields(self, stored: Mapping[str, Any], recomputed: Mapping[str, Any], *where: object) -> None:
        """Compare every field of `recomputed`; where the other lacks one, it is null.

        Raises:
            DifferenceError: see `check`.
        """
        for name, value in recomputed.items():
            self.check(stored.get(name), value, *where, f"column {name}")

    def check_table(self, name: str, stored: pa.Table, recomputed: pa.Table, *, key: Sequence[str]) -> None:
        """Compare every cell of two tables, and that they have the same rows in the same order.

        Args:
            name: of the table.
            stored, recomputed: the tables.
            key: columns that name a row.

        Raises:
            DifferenceError: a column or a row is missing or too much, or a cell differs; of several cells, that of the first row.
        """
        for field in recomputed.schema:
            if field.name not in stored.column_names:
                raise DifferenceError(f"table {name}, column {field.name}: missing in the file")
            if (kind := stored.schema.field(field.name).type) != field.type:
                raise DifferenceError(f"table {name}, column {field.name}: {kind} in the file, {field.type} recomputed")
        for column in stored.column_names:
            if column not in recomputed.column_names:
                raise DifferenceError(f"table {name}, column {column}: in the file, but not when recomputed")
        check_rows(name, _keys(stored, key), _keys(recomputed, key), key)
        different = [column for column in recomputed.column_names if not stored[column].equals(recomputed[column])]
        found: list[tuple[int, str]] = []
        for column in different:
            pairs = zip(stored[column].to_pylist(), recomputed[column].to_pylist(), strict=True)
            found += [(index, column) for index, pair in enumerate(pairs) if not same(*pair)][:1]
        if found:
            index, column = min(found, key=lambda place: place[0])
            row = stored.slice(index, 1).to_pylist()[0]
            self.check(row[column], recomputed[column][index].as_py(), f"table {name}", *row_name(row, key), f"column {column}")
        self.add(recomputed.num_rows * recomputed.num_columns)

    def __str__(self) -> str:
        if self.identical == self.compared:
            return f"{self.compared:,} numbers agree"
        return f"{self.compared:,} numbers agree, {self.identical:,} of them to the last bit, the others within {self.tolerance:g}"


def check_leaves(name: str, stored: Any, recomputed: Any, tally: Tally, path: str = "") -> None:
    """Compare two JSON documents leaf by leaf, in the order of the recomputed one.

    Raises:
        DifferenceError: a leaf differs, is missing, or is too much; it is named by its path, as in `arms.bsd/none.ece.mean`.
    """
    if isinstance(recomputed, dict) and isinstance(stored, dict):
        for key in (*recomputed, *(key for key in stored if key not in recomputed)):
            inner = f"{path}.{key}" if path else str(key)
            if key not in stored or key not in recomputed:
                where = "missing in the file" if key in recomputed else "in the file, but not when recomputed"
                raise DifferenceError(f"{name}, {inner}: {where}")
            check_leaves(name, stored[key], recomputed[key], tally, inner)
    elif isinstance(recomputed, list) and isinstance(stored, list):
        for index, (one, other) in enumerate(zip(stored, recomputed, strict=False)):
            check_leaves(name, one, other, tally, f"{path}[{index}]")
        tally.check(len(stored), len(recomputed), name, f"length of {path or 'the list'}")
    else:
        tally.check(stored, recomputed, name, path)


def check_rows(name: str, stored: Sequence[tuple[Any, ...]], recomputed: Sequence[tuple[Any, ...]], key: Sequence[str]) -> None:
    """Whether a table has the rows it should have, in their order.

    Raises:
        DifferenceError: a row is missing, too much, or in another place.
    """
    if stored == recomputed:
        return
    here, there = set(stored), set(recomputed)
    for index in range(max(len(stored), len(recomputed))):
        own = stored[index] if index < len(stored) else None
        right = recomputed[index] if index < len(recomputed) else None
        if own == right:
            continue
        if right is not None and right not in here:
            raise DifferenceError(f"table {name}, {_named(right, key)}: this row is missing in the file")
        if own is not None and (own not in there or own in stored[:index]):
            raise DifferenceError(f"table {name}, {_named(own, key)}: this row is in the file, but not when recomputed")
        raise DifferenceError(f"table {name}, {_named(own or right or (), key)}: its rows are in another order")


def same(stored: object, recomputed: object) -> bool:
    """Equal, of one type; NaN is equal to NaN."""
    if isinstance(stored, float) and isinstance(recomputed, float) and math.isnan(stored):
        return math.isnan(recomputed)
    return type(stored) is type(recomputed) and stored == recomputed


def row_name(row: Mapping[str, Any], key: Sequence[str]) -> list[str]:
    """`trial bsd-none-0003`, `test corruption contrast 3`: how a message names a row."""
    shift = [str(row[name]) for name in ("split", "shift", "name", "severity") if name in key]
    others = [f"{name} {row[name]}" for name in ("epoch", "bin") if name in key]
    return [f"trial {row['trial_id']}", *([" ".join(shift)] if shift else []), *others]


def _named(values: tuple[Any, ...], key: Sequence[str]) -> str:
    return ", ".join(row_name(dict(zip(key, values, strict=True)), key))


def _keys(table: pa.Table, key: Sequence[str]) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in key), strict=True))


def _text(value: object) -> str:
    match value:
        case None:
            return "null"
        case int() | float():
            return str(value)
        case dict():
            return "a mapping"
        case list():
            return f"a list of {len(value)}"
        case _:
            return shown(value)
