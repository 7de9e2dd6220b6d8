"""The penultimate features that trainings of the confirm phase keep: of the first training of each chosen setting, of some test images.

One Parquet file a trial, tables/features/<trial_id>.parquet, one row an image, the same images in every file of a run. Features are
divided by the largest magnitude among them, which the file's metadata has as `scale`, and rounded to float16: nothing overflows, whatever
a network's last layers make of an image, and directions, which all that is computed from them goes by, keep three digits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bsd_core.errors import DataError, one_line
from bsd_core.whole_file import write_whole

FEATURE_IMAGES: Final = 2000  # of a test split, at most
_MOST_VALUES: Final = 2**27  # of a file that anybody may have written: 256 MiB
_COLUMNS: Final = ("row", "target", "features")


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """What one network makes of some test images just before its last layer.

    Attributes:
        rows: (n,) int64, the images' places in the test split.
        targets: (n,) int64, their true labels.
        values: (n, D) float16, in [-1, 1]: features over `scale`.
        scale: the largest magnitude of a feature, > 0.
    """

    rows: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    values: npt.NDArray[np.float16]
    scale: float

    @classmethod
    def of(cls, rows: npt.NDArray[np.int64], targets: npt.NDArray[np.int64], features: npt.NDArray[np.floating]) -> Features:
        """From finite features (n, D) of any precision; where all are 0 the scale is 1."""
        scale = float(np.abs(features).max()) or 1.0
        return cls(rows=rows, targets=targets, values=(features / scale).astype(np.float16), scale=scale)


def features_folder(predictions: Path) -> Path:
    """Where the features of a run lie: beside its predictions."""
    return predictions.with_name("features")


def write_features(path: Path, features: Features) -> None:
    """Write a trial's features, whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    values = pa.FixedSizeListArray.from_arrays(pa.array(features.values.reshape(-1)), features.values.shape[1])
    table = pa.table({"row": pa.array(features.rows), "target": pa.array(features.targets), "features": values})
    table = table.replace_schema_metadata({"scale": repr(features.scale)})
    write_whole(path, lambda file: pq.write_table(table, file, compression="zstd"))


def read_features(path: Path) -> Features:
    """A trial's features.

    Raises:
        DataError: not such a file.
    """
    try:
        with pq.ParquetFile(path) as file:
            kind, n = file.schema_arrow.field("features").type, file.metadata.num_rows
            if not (pa.types.is_fixed_size_list(kind) and pa.types.is_float16(kind.value_type) and kind.list_size > 0):
                raise ValueError(f"features are {kind}")
            if not (0 < n <= FEATURE_IMAGES and n * kind.list_size <= _MOST_VALUES):
                raise ValueError(f"it says to have {n:,} rows of {kind.list_size:,} features")
            for name in ("row", "target"):  # a text may be there once in the file, and as often as there are rows in memory
                if not pa.types.is_integer(file.schema_arrow.field(name).type):
                    raise ValueError(f"column {name} is {file.schema_arrow.field(name).type}")
            table = file.read(columns=list(_COLUMNS))
        if any(table[name].null_count for name in _COLUMNS):
            raise ValueError("a value is missing")
        scale = float((table.schema.metadata or {})[b"scale"])
        flat = np.concatenate([chunk.flatten().to_numpy(zero_copy_only=False) for chunk in table["features"].chunks])
        values = flat.reshape(n, kind.list_size)
        rows, targets = (table[name].cast(pa.int64()).to_numpy() for name in ("row", "target"))
        if not (np.isfinite(values).all() and math.isfinite(scale) and scale > 0 and rows.min() >= 0 and targets.min() >= 0):
            raise ValueError("a value is not a feature, a row or a label")
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path}: not a file of features ({one_line(error, limit=100)}).") from error
    return Features(rows=rows, targets=targets, values=values, scale=scale)
