"""Rows of many trials stacked into Arrow columns, as they come out of a ledger."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from studies.ledger_rows import Row, Rows, is_columns

Places = npt.NDArray[np.int64]
_AT_ONCE: Final = 1 << 16  # rows that are held as Python's numbers; Arrow's take a quarter of their memory
_OF_TRIAL: Final = ("trial_id", "phase")


class Stack:
    """One table in the making.

    Args:
        schema: of the table; `trial_id` and `phase` are filled in here, all other columns come with the rows.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._waiting: dict[str, list[Any]] = {name: [] for name in schema.names if name not in _OF_TRIAL}
        self._chunks: dict[str, list[pa.Array]] = {name: [] for name in self._waiting}
        self._n_waiting = self._n = 0
        self._codes: dict[str, int] = {}  # of trials
        self._adds, self._lengths = array("q"), array("q")  # the trial, and how many rows, of each call of `add`
        self._latest: dict[str, tuple[int, int]] = {}  # the rows that a trial's last call added

    def add(self, trial_id: str, rows: Sequence[Row]) -> None:
        """More rows of a trial."""
        start = self._n
        for part in rows.parts if isinstance(rows, Rows) else rows:
            self._n += self._add_columns(part) if is_columns(part) else self._add_row(part)
        self._adds.append(self._codes.setdefault(trial_id, len(self._codes)))
        self._lengths.append(self._n - start)
        self._latest[trial_id] = start, self._n
        self._n_waiting += self._n - start
        if self._n_waiting >= _AT_ONCE:
            self._flush()

    def _add_row(self, row: Row) -> int:
        for name, values in self._waiting.items():
            values.append(row.get(name))
        return 1

    def _add_columns(self, columns: Mapping[str, list[Any]]) -> int:
        n = len(next(iter(columns.values())))
        for name, values in self._waiting.items():
            values.extend(columns.get(name) or [None] * n)
        return n

    def _flush(self) -> None:
        for name, values in self._waiting.items():
            chunk = pa.array(values, self._schema.field(name).type)
            self._chunks[name].append(chunk.dictionary_encode() if pa.types.is_string(chunk.type) else chunk)
            values.clear()
        self._n_waiting = 0

    def last_by(self, column: str, *, of: Collection[str]) -> pa.Table:
        """Of these trials the last row of each value of `column`, whole numbers, in the order in which the values first came."""
        codes = np.repeat(np.frombuffer(self._adds, np.int64), np.frombuffer(self._lengths, np.int64))
        self._flush()
        values = pa.chunked_array(self._chunks[column], self._schema.field(column).type).to_numpy()
        kept = np.array([trial_id in of for trial_id in self._codes], dtype=bool)
        places = _last_places(codes, values)
        places = places[kept[codes[places]]]
        return self._table(places, {"trial_id": _texts(list(self._codes), codes[places])})

    def last_of(self, phases: Mapping[str, str]) -> pa.Table:
        """What the last call added of each of these trials, in their order.

        Args:
            phases: by trial.
        """
        self._flush()
        spans = [self._latest.get(trial_id, (0, 0)) for trial_id in phases]
        places = np.concatenate([np.arange(start, stop) for start, stop in spans] or [np.arange(0)])
        owners = np.repeat(np.arange(len(spans)), [stop - start for start, stop in spans])
        return self._table(places, {"trial_id": _texts(list(phases), owners), "phase": _texts(list(phases.values()), owners)})

    def _table(self, places: Places, given: Mapping[str, pa.Array]) -> pa.Table:
        whole = len(places) == self._n and bool((places == np.arange(self._n)).all())
        columns = []
        for field in self._schema:
            if field.name in given:
                columns.append(given[field.name])
                continue
            chunks = self._chunks.pop(field.name)  # given free as soon as it is copied
            text = pa.types.is_string(field.type)
            column = pa.chunked_array(chunks, pa.dictionary(pa.int32(), pa.string()) if text else field.type)
            column = column.unify_dictionaries().combine_chunks()
            columns.append((column if whole else column.take(pa.array(places))).cast(field.type))
        return pa.table(columns, schema=self._schema)


def _last_places(codes: Places, values: Places) -> Places:
    """Of each pair of a code and a value the place where it comes last, in the order in which the pairs come first."""
    _, ranks = np.unique(values, return_inverse=True)
    pairs = codes * (ranks.max(initial=0) + 1) + ranks
    _, first = np.unique(pairs, return_index=True)
    _, last = np.unique(pairs[::-1], return_index=True)
    return (len(pairs) - 1 - last)[np.argsort(first)]


def _texts(texts: Sequence[str], places: Places) -> pa.Array:
    """`texts` at these places."""
    return pa.DictionaryArray.from_arrays(pa.array(places, pa.int32()), pa.array(texts, pa.string())).cast(pa.string())
