"""The noisy labels of a run, saved so that another run can train on the same ones."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from bsd_core.data.images import Int64
from bsd_core.data.label_noise.record import NoiseRecord
from bsd_core.errors import DataError, one_line, shown
from bsd_core.whole_file import write_whole

_KEY: Final = b"label_noise"  # of the file's metadata
_COLUMNS: Final = ("row", "true_label", "given_label")


@dataclass(frozen=True, eq=False)
class SplitLabels:
    """The labels of one split.

    Attributes:
        rows: (N,) int64, each image's row in the official training set; none twice.
        true: (N,) int64.
        given: (N,) int64, what is trained on.

    Raises:
        DataError: they differ in shape, are not integers, or a row occurs twice.
    """

    rows: Int64
    true: Int64
    given: Int64

    def __post_init__(self) -> None:
        if not self.rows.shape == self.true.shape == self.given.shape == (len(self.rows),):
            raise DataError(
                "Expected rows, true and given labels of one shape (N,), "
                f"but got {self.rows.shape}, {self.true.shape} and {self.given.shape}."
            )
        types = [part.dtype for part in (self.rows, self.true, self.given)]
        if any(dtype.kind not in "iu" for dtype in types):
            raise DataError(f"Expected rows, true and given labels as integers, but got {', '.join(map(str, types))}.")
        if len(np.unique(self.rows)) != len(self.rows):
            raise DataError("A row of the official training set occurs twice in one split.")


def save_labels(path: Path, splits: Mapping[str, SplitLabels], record: NoiseRecord) -> None:
    """Write labels as an Arrow Parquet table: one row an image, columns split, row, true_label and given_label (int64).

    The file is written under a temporary name and renamed: it is whole or not there.

    Args:
        path: usually ends in .parquet; missing folders are made.
        splits: by name, e.g. train and val.
        record: goes into the file's metadata, as JSON under the key `label_noise`.

    Raises:
        StorageError: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = list(splits.values())
    columns = {
        "split": pa.array([name for name, part in splits.items() for _ in range(len(part.rows))], type=pa.string()),
        "row": pa.array(np.concatenate([part.rows for part in parts]), type=pa.int64()),
        "true_label": pa.array(np.concatenate([part.true for part in parts]), type=pa.int64()),
        "given_label": pa.array(np.concatenate([part.given for part in parts]), type=pa.int64()),
    }
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(asdict(record)).encode()})
    write_whole(path, lambda file: pq.write_table(table, file))


def load_labels(path: Path, splits: Mapping[str, tuple[Int64, Int64]], *, n_classes: int) -> tuple[dict[str, Int64], NoiseRecord]:
    """Labels that `save_labels` wrote, if they are of the data at hand.

    Row numbers and true labels decide, not the fingerprint, which differs between images in memory and mapped ones.

    Args:
        path: the file.
        splits: (rows, true), both (N,) int64, of each split that is wanted; other splits in the file are left alone.
        n_classes: K.

    Returns:
        The given labels of each split, (N,) int64 in the order of its `rows`, and where they come from.

    Raises:
        DataError: no such file, one of another form, without a wanted split, with other rows or true labels, or labels outside [0, K).
    """
    table, record = _read(path)
    if record.n_classes != n_classes:
        raise DataError(f"{path}: labels of {record.n_classes} classes, but the data here has {n_classes}.")
    names = np.array(table["split"].to_pylist(), dtype=object)
    rows, true, given = (table[column].to_numpy() for column in _COLUMNS)
    found = {}
    for name, (wanted_rows, wanted_true) in splits.items():
        own = np.flatnonzero(names == name)
        if not len(own):
            there = ", ".join(map(shown, dict.fromkeys(names.tolist()))) or "none"
            raise DataError(
                f"{path}: has no labels of the split {name!r}. It has: {there}. A study needs train and val, which the files that a study "
                "saves hold; `python -m bsd_core --save-labels` writes train alone."
            )
        own = own[_matching_rows(f"{path}: split {name!r}", rows[own], wanted_rows)]
        differ = np.flatnonzero(true[own] != wanted_true)
        if len(differ):
            place = int(differ[0])
            raise DataError(
                f"{path}: split {name!r} has another true label at {len(differ)} of {len(own)} images; the first is row "
                f"{wanted_rows[place]}, {true[own[place]]} in the file and {wanted_true[place]} here. Is it of another data set?"
            )
        found[name] = given[own]
        if len(own) and not 0 <= found[name].min() <= found[name].max() < n_classes:
            raise DataError(f"{path}: given labels must lie in [0, {n_classes}), but run from {found[name].min()} to {found[name].max()}.")
    return found, record


def _matching_rows(where: str, saved: Int64, wanted: Int64) -> Int64:
    """(N,) where each wanted row stands among the saved ones, which must be the same set."""
    if len(np.unique(saved)) != len(saved):
        raise DataError(f"{where} has a row twice.")
    missing, left_over = np.setdiff1d(wanted, saved), np.setdiff1d(saved, wanted)
    for rows, fault in ((missing, "lacks"), (left_over, "has, beyond the images here,")):
        if len(rows):
            raise DataError(
                f"{where} {fault} {len(rows)} rows of the official training set; the first is row {rows[0]} ({len(saved)} images in the "
                f"file, {len(wanted)} here). Use the same data set, train_images, val_fraction and seed."
            )
    order = np.argsort(saved)
    return order[np.searchsorted(saved, wanted, sorter=order)]


def _read(path: Path) -> tuple[Any, NoiseRecord]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not os.path.isfile(path):
        raise DataError(f"No such file: {shown(path, limit=300)}, from which labels are to be read.")
    try:
        table = pq.read_table(path, partitioning=None)  # or folders named like `split=a` would add columns
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({one_line(error, limit=120)}).") from error
    try:
        plain = _plain(table)
    except (KeyError, TypeError, pa.ArrowException) as error:
        raise DataError(
            f"{path}: expected columns split (text) and {', '.join(_COLUMNS)} (integers) without gaps, but it has "
            f"{', '.join(f'{field.name} ({field.type})' for field in table.schema) or 'none'}."
        ) from error
    try:
        return plain, NoiseRecord(**json.loads((table.schema.metadata or {})[_KEY]))
    except KeyError as error:
        raise DataError(f"{path}: its metadata does not say where the labels come from; it was not written by save_labels.") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: its metadata does not say where the labels come from: {one_line(error, limit=160)}") from error


def _plain(table: Any) -> Any:
    """The columns as text and int64, however another program has stored them.

    Raises:
        KeyError: a column is missing or there twice.
        TypeError: one is of another type, or has gaps.
        pa.ArrowException: a number is beyond int64.
    """
    import pyarrow as pa
    from pyarrow import types

    columns = {}
    for name in ("split", *_COLUMNS):
        column = table.column(name)
        kind = column.type.value_type if types.is_dictionary(column.type) else column.type
        is_right = types.is_integer(kind) if name in _COLUMNS else types.is_string(kind) or types.is_large_string(kind)
        plain = column.cast(pa.int64() if name in _COLUMNS else pa.string()) if is_right else None
        if plain is None or plain.null_count:
            raise TypeError(f"{name} is {kind}")
        columns[name] = plain
    return pa.table(columns)
