"""Rows of numbers inside the ledger's events: written by column, so that each name stands once, and read as rows or by column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, Final, overload

import pyarrow as pa

Row = Mapping[str, Any]
Columns = dict[str, list[Any]]  # of one length, at least 1
_LARGEST: Final = 2**53  # of a whole number in a row: so far floats hold them all
_KINDS: Final[dict[pa.DataType, frozenset[type]]] = {
    pa.string(): frozenset([str, type(None)]),
    pa.int64(): frozenset([int, type(None)]),
    pa.float64(): frozenset([float, int, type(None)]),
    pa.bool_(): frozenset([bool, type(None)]),
}
_SCALARS: Final[frozenset[type]] = frozenset([str, int, float, bool, type(None)])  # what a column that only other versions know may hold


def allowed_types(schema: pa.Schema) -> dict[str, frozenset[type]]:
    """By column, the types of the values that it takes."""
    return {field.name: _KINDS[field.type] for field in schema}


class Rows(Sequence[dict[str, Any]]):
    """Rows as a ledger holds them, each made when it is asked for.

    Args:
        parts: each one row, or the columns of several.
    """

    def __init__(self, parts: Sequence[Mapping[str, Any]]) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return sum(len(next(iter(part.values()))) if is_columns(part) else 1 for part in self.parts)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for part in self.parts:
            if is_columns(part):
                for values in zip(*part.values(), strict=True):
                    yield dict(zip(part, values, strict=True))
            else:
                yield dict(part)

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, place: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        return list(self)[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Rows({list(self)!r})"


def cells(rows: Sequence[Row], *names: str) -> Iterator[tuple[Any, ...]]:
    """Some columns of each row, None where it lacks one; without making the rows of `Rows`."""
    for part in rows.parts if isinstance(rows, Rows) else rows:
        if is_columns(part):
            missing = [None] * len(next(iter(part.values())))
            yield from zip(*(part.get(name, missing) for name in names), strict=True)
        else:
            yield tuple(part.get(name) for name in names)


def is_columns(part: Mapping[str, Any]) -> bool:
    """Whether a part is the columns of several rows; no value of a single row is a list."""
    return isinstance(next(iter(part.values()), None), list)


def packed(rows: Iterable[Row]) -> Sequence[Row]:
    """Parts of `Rows`: neighbours with the same names as columns, a row that has no such neighbour as it is."""
    if isinstance(rows, Rows):
        return rows.parts
    return [columns if len(next(iter(columns.values()))) > 1 else _only_row(columns) for columns in by_column(rows)]


def by_column(rows: Iterable[Row]) -> Iterator[Columns]:
    """Neighbouring rows with the same names in the same order, as columns."""
    parts = rows.parts if isinstance(rows, Rows) else rows
    for (_, whole), members in groupby(parts, key=_alike):
        if whole:
            yield from (dict(part) for part in members)
            continue
        some = list(members)
        yield {name: list(values) for name, values in zip(some[0], zip(*(row.values() for row in some), strict=True), strict=True)}


def _alike(part: Row) -> tuple[tuple[str, ...], bool]:
    return tuple(part), is_columns(part)


def _only_row(columns: Columns) -> dict[str, Any]:
    return {name: values[0] for name, values in columns.items()}


class RowForm:
    """What rows of one kind may hold.

    Args:
        schema: of the table that they go to; columns that it does not know may hold any number, text or null.
        needed: columns that every row has, and no null.
    """

    def __init__(self, schema: pa.Schema, *needed: str) -> None:
        self._allowed, self._needed = allowed_types(schema), needed
        self._known = lru_cache(4096)(self._takes)  # rows of a run are of few kinds

    def holds(self, parts: object) -> bool:
        """Whether `parts`, read from a file that anybody may have written, are parts of `Rows` that fit."""
        return isinstance(parts, list) and all(isinstance(part, dict) and bool(part) and self._fits(part) for part in parts)

    def _fits(self, part: dict[str, Any]) -> bool:
        values = part.values()
        if not is_columns(part):
            return self._known(tuple(part), tuple(map(type, values))) and _small(values)
        if set(map(type, values)) != {list} or len(lengths := set(map(len, values))) != 1 or 0 in lengths:
            return False
        types = tuple(frozenset(map(type, column)) for column in values)
        wholes = (column for column, kinds in zip(values, types, strict=True) if int in kinds)
        return self._known(tuple(part), types) and all(map(_small, wholes))

    def _takes(self, names: tuple[str, ...], types: tuple[type | frozenset[type], ...]) -> bool:
        kinds = {name: kind if isinstance(kind, frozenset) else {kind} for name, kind in zip(names, types, strict=True)}
        if any(type(None) in kinds.get(name, {type(None)}) for name in self._needed):
            return False
        return all(kind <= self._allowed.get(name, _SCALARS) for name, kind in kinds.items())


def _small(values: Iterable[Any]) -> bool:
    """Whether floats hold all whole numbers among these."""
    wholes = [value for value in values if type(value) is int]
    return not wholes or (min(wholes) >= -_LARGEST and max(wholes) <= _LARGEST)
