"""Parquet files that anybody may have written, read as data: no partitions from folder names, no pandas, and no more than fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from studies.memory import machine_memory

_CELL: Final = 100  # bytes of a value as a Python object, without a text's own; a compressed file can hold millions in a few


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A whole file, or some of its columns.

    A file can hold equal texts once, and be far larger as a table: they are read that way, and counted before they are written out.

    Raises:
        OSError, pa.ArrowException: it cannot be read, or its texts are encoded as differences.
        ValueError: a column is missing, there twice or of lists, or it would not fit into memory.
    """
    with pq.ParquetFile(path) as file:
        schema, leaves, metadata = file.schema_arrow, [file.schema.column(i) for i in range(len(file.schema))], file.metadata
    chosen = schema.names if columns is None else list(columns)
    for name in chosen:
        if schema.names.count(name) != 1:
            raise ValueError(f"column {name!r:.60} is there {schema.names.count(name)} times")
    kinds = {leaf.path: leaf for leaf in leaves}
    for name in chosen:
        if name not in kinds or pa.types.is_nested(schema.field(name).type):
            raise ValueError(f"column {name!r:.60} is not of plain values")
    widths = [_CELL + max(0, kinds[name].length) for name in chosen]
    if metadata.num_rows < 0 or metadata.num_rows * sum(widths) > machine_memory():
        raise ValueError(f"it says to have {metadata.num_rows:,} rows, which would not fit into memory")
    texts = [name for name in chosen if kinds[name].physical_type == "BYTE_ARRAY"]
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        table = file.read(columns=chosen)
    n_bytes = sum(_text_bytes(table[name]) for name in texts)
    if table.num_rows * sum(widths) + n_bytes > machine_memory():
        raise ValueError(f"its texts hold {n_bytes:,} bytes, which would not fit into memory")
    table.validate(full=True)
    return table.cast(pa.schema([schema.field(name) for name in table.column_names], metadata=schema.metadata))


def _text_bytes(column: pa.ChunkedArray) -> int:
    """Of all texts of a column that holds equal ones once."""
    return sum(pc.sum(pc.binary_length(chunk.dictionary).take(chunk.indices)).as_py() or 0 for chunk in column.chunks)
