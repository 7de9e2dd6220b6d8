"""The predictions that trials of the confirm phase keep: logits of two bytes, from which every metric can be computed again.

One Parquet file a trial, tables/predictions/<trial_id>.parquet, one row an image and shift, one row group a shift. Logits are less
their row's largest, then rounded to float16: softmax does not see the difference, and numbers near the largest keep their digits.
Trials compute their own metrics from the rounded logits, so what is stored is exactly what was measured.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bsd_core.errors import DataError, one_line
from bsd_core.whole_file import write_whole
from studies.parquet_file import read_parquet

_KEY: Final = ("split", "shift", "name", "severity")


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What one network said of one set of images.

    Attributes:
        split, shift, name, severity: as in table `evaluations`.
        rows: (N,) int64, the images' places in their split.
        targets: (N,) int64, the labels that judge.
        logits: (N, K) float16, less their row's largest.
    """

    split: str
    shift: str
    name: str
    severity: int
    rows: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float16]

    @property
    def key(self) -> tuple[str, str, str, int]:
        """(split, shift, name, severity)."""
        return self.split, self.shift, self.name, self.severity


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write all predictions of a trial, whole or not at all.

    Args:
        path: of the file.
        predictions: at least one; each is a row group, so that it can be read without the others.

    Raises:
        StorageError: it cannot be written.
    """
    tables = map(_table, predictions)

    def write(file: IO[bytes]) -> None:
        first = next(tables)
        with pq.ParquetWriter(file, first.schema, compression="zstd") as writer:
            for table in itertools.chain([first], tables):
                writer.write_table(table, row_group_size=len(table))

    write_whole(path, write)


def _table(prediction: Prediction) -> pa.Table:
    n, n_classes = prediction.logits.shape
    logits = pa.FixedSizeListArray.from_arrays(pa.array(prediction.logits.reshape(-1)), n_classes)
    columns: dict[str, Any] = {
        "split": pa.repeat(pa.scalar(prediction.split), n).dictionary_encode(),
        "shift": pa.repeat(pa.scalar(prediction.shift), n).dictionary_encode(),
        "name": pa.repeat(pa.scalar(prediction.name), n).dictionary_encode(),
        "severity": pa.array(np.full(n, prediction.severity, dtype=np.int64)),
        "row": pa.array(prediction.rows),
        "target": pa.array(prediction.targets),
        "predicted": pa.array(prediction.logits.argmax(axis=1)),
        "logits": logits,
    }
    return pa.table(columns)


def read_predictions(path: Path, *, only: tuple[str, str] | None = None) -> list[Prediction]:
    """Predictions of a trial, in the order they were written.

    Args:
        path: of the file.
        only: (split, shift) of those that are wanted; nothing else is read. All where None.

    Raises:
        DataError: not such a file.
    """
    return list(iterate_predictions(path, only=only))


def iterate_predictions(path: Path, *, only: tuple[str, str] | None = None) -> Iterator[Prediction]:
    """As `read_predictions`, with no more than two of them in memory: the one at hand, and the next.

    Raises:
        DataError: see there; also after some were read.
    """
    try:
        with pq.ParquetFile(path) as file:
            if not file.metadata.num_rows:
                raise ValueError("no rows")
            pieces = (piece for group in range(file.num_row_groups) for piece in _pieces(file, group, only))
            for _, parts in itertools.groupby(pieces, key=lambda piece: piece.key):  # another writer's groups may cut one in two
                yield _joined(list(parts))
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path}: not a file of predictions ({one_line(error, limit=100)}).") from error


def read_predicted(path: Path) -> npt.NDArray[np.int64]:
    """The column `predicted` of all of a trial's predictions, (rows of the file,) int64, which should follow from their logits.

    Raises:
        DataError: not such a file.
    """
    try:
        column = read_parquet(path, ["predicted"])["predicted"].cast(pa.int64())
        if column.null_count:
            raise ValueError("a value is missing")
        return np.asarray(column.to_numpy())
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise DataError(f"{path}: not a file of predictions ({one_line(error, limit=100)}).") from error


def _pieces(file: pq.ParquetFile, group: int, only: tuple[str, str] | None) -> Iterator[Prediction]:
    """What one row group holds; logits are read only where they are wanted."""
    texts = pa.schema([(name, pa.int64() if name == "severity" else pa.string()) for name in _KEY])
    keys = file.read_row_group(group, columns=list(_KEY)).select(list(_KEY)).cast(texts)
    found = [(start, end, key) for start, end in _runs(keys) for key in keys.slice(start, 1).to_pylist()]
    wanted = [(start, end, key) for start, end, key in found if only in (None, (key["split"], key["shift"]))]
    if not wanted:
        return
    table = file.read_row_group(group, columns=["row", "target", "logits"])
    if not (pa.types.is_fixed_size_list(table["logits"].type) and pa.types.is_float16(table["logits"].type.value_type)):
        raise ValueError(f"logits are {table['logits'].type}")
    if any(table[name].null_count for name in ("row", "target", "logits")):
        raise ValueError("a value is missing")
    rows, targets = (table[name].cast(pa.int64()).to_numpy() for name in ("row", "target"))
    flat = pa.chunked_array([chunk.flatten() for chunk in table["logits"].chunks])
    logits = flat.to_numpy().reshape(len(table), -1)
    for start, end, key in wanted:
        yield Prediction(**key, rows=rows[start:end], targets=targets[start:end], logits=logits[start:end])


def _joined(parts: Sequence[Prediction]) -> Prediction:
    if len(parts) == 1:
        return parts[0]
    rows, targets, logits = (np.concatenate([getattr(part, name) for part in parts]) for name in ("rows", "targets", "logits"))
    return replace(parts[0], rows=rows, targets=targets, logits=logits)


def _runs(keys: pa.Table) -> list[tuple[int, int]]:
    """[start, end) of each stretch of rows with one key."""
    codes = [keys[name].combine_chunks().dictionary_encode().indices.to_numpy() for name in keys.column_names]
    changes = np.flatnonzero(np.any([code[1:] != code[:-1] for code in codes], axis=0)) + 1
    edges = [0, *changes.tolist(), len(keys)]
    return list(itertools.pairwise(edges))
