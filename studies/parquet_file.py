"""Parquet files that anybody may have written, read as data: no partitions from folder names, no pandas, and no more than fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from studies.memory import machine_memory

_CELL: Final = 100  # bytes of a value as a Python object; a compressed file can hold millions in a few


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A whole file, or some of its columns.

    Raises:
        OSError, pa.ArrowException: it cannot be read.
        ValueError: a column is missing or there twice, or it would not fit into memory.
    """
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        for name in names if columns is None else columns:
            if names.count(name) != 1:
                raise ValueError(f"column {name!r:.60} is there {names.count(name)} times")
        n_rows, n_columns = file.metadata.num_rows, len(names if columns is None else columns)
        if n_rows < 0 or n_rows * n_columns * _CELL > machine_memory():
            raise ValueError(f"it says to have {n_rows:,} rows, which would not fit into memory")
        table = file.read(columns=None if columns is None else list(columns))
    table.validate(full=True)
    return table
