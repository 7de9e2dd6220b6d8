"""`parquet:<path>`: encoded images in Parquet files, as Hugging Face lays them out."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from bsd_core.config import AugmentConfig
from bsd_core.data.images import ImageSet, Int64, UInt8
from bsd_core.data.label_noise import ASYMMETRIC_MAPS
from bsd_core.data.sources.source import Request, Source, hold_out_test
from bsd_core.errors import DataError, one_line, shown

IMAGE_COLUMNS: Final = ("img", "image")
LABEL_COLUMNS: Final = ("label", "fine_label")
_MAX_CLASSES: Final = 1_000_000


def load_parquet(request: Request) -> Source:
    """Encoded images in Parquet: columns `img` or `image` (bytes, or a struct with `bytes`), `label` or `fine_label` (integer).

    The path is a folder with `train*.parquet` and `test*.parquet` (any number of shards, also under `data/`), or one file, of which a
    fixed stratified fifth becomes the test split. All images must have one size; they are RGB unless all are grey.
    """
    name, path = request.name, request.path
    if not path:
        raise DataError("parquet: needs a path: dataset=parquet:<folder with train*.parquet and test*.parquet>, or one file.")
    root = Path(os.path.expanduser(path))
    if os.path.isfile(root):
        shards = {"all": [root]}
    elif os.path.isdir(root):
        shards = {split: sorted([*root.glob(f"{split}*.parquet"), *root.glob(f"data/{split}*.parquet")]) for split in ("train", "test")}
        for split, files in shards.items():
            if not files:
                found = ", ".join(sorted(file.name for file in root.iterdir())[:5]) or "nothing"
                raise DataError(f"No {split}*.parquet in {str(root)!r} (found {found}).")
    else:
        raise DataError(f"No such file or folder: {shown(root)}, from which the dataset is to be read.")

    parts = {split: _read_shards(files) for split, files in shards.items()}
    grey = all(part.grey for part in parts.values())
    names = next((part.class_names for part in parts.values() if part.class_names), ())
    occurring = np.unique(np.concatenate([part.labels for part in parts.values()]))
    highest = int(occurring[-1])
    if not names and len(occurring) < (highest + 1) / 2:
        raise DataError(
            f"{str(root)!r}: labels go up to {highest}, but only {len(occurring)} different ones occur. A stray label? "
            "Otherwise number the classes from 0 without gaps."
        )
    n_classes = len(names) or 1 + highest
    sets = {split: ImageSet(part.pixels[:, :1] if grey else part.pixels, part.labels, max(2, n_classes)) for split, part in parts.items()}
    sizes = {split: images.image_size for split, images in sets.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(f"Train and test images differ in size: {sizes}.")
    rest: dict[str, Any] = {
        "class_names": names,
        "augment": AugmentConfig(crop_padding=next(iter(sizes.values()))[0] // 8, flip=not grey),
        "asymmetric_map": _map_by_class_names(names),
    }
    if "all" in sets:
        return hold_out_test(name, sets["all"], **rest)
    return Source(name=name, train=sets["train"], test=sets["test"], **rest)


def _map_by_class_names(names: tuple[str, ...]) -> Mapping[int, int] | None:
    """CIFAR-10 and CIFAR-100 keep their maps in Parquet form; they are known by their class names."""
    if names[:3] == ("airplane", "automobile", "bird") and len(names) == 10:
        return ASYMMETRIC_MAPS["cifar10"]
    if names[:2] == ("apple", "aquarium_fish") and len(names) == 100:
        return ASYMMETRIC_MAPS["cifar100"]
    return None


@dataclass(frozen=True)
class _ParquetPart:
    pixels: UInt8  # (N, 3, H, W)
    labels: Int64
    grey: bool
    class_names: tuple[str, ...]


def _read_shards(files: list[Path]) -> _ParquetPart:
    """Read and decode all rows of `files` into one preallocated array; decoding runs in threads (the codecs release the lock)."""
    from concurrent.futures import ThreadPoolExecutor

    import pyarrow as pa
    import pyarrow.parquet as pq

    encoded: list[bytes | None] = []
    where: list[tuple[Path, int]] = []
    labels: list[Int64] = []
    class_names: tuple[str, ...] = ()
    for file in files:
        try:
            schema = pq.read_schema(file)
            image = next((column for column in IMAGE_COLUMNS if column in schema.names), None)
            label = next((column for column in LABEL_COLUMNS if column in schema.names), None)
            if image is None or label is None:
                raise DataError(
                    f"{file}: expected a column 'img' or 'image' and a column 'label' or 'fine_label', "
                    f"but it has {', '.join(map(repr, schema.names)) or 'no columns'}."
                )
            table = pq.read_table(file, columns=[image, label])
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{file}: not a readable Parquet file ({one_line(error, limit=120)}).") from error
        values = table[image].combine_chunks()
        if pa.types.is_struct(values.type) and "bytes" in [field.name for field in values.type]:
            values = values.field("bytes")
        if not (pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type)):
            raise DataError(f"{file}: column {image!r} should hold image bytes, or a struct with a field 'bytes', but is {values.type}.")
        if not pa.types.is_integer(table[label].type):
            raise DataError(f"{file}: column {label!r} should hold integers, but is {table[label].type}.")
        if table[label].null_count:
            raise DataError(f"{file}: column {label!r} has {table[label].null_count} empty labels.")
        encoded += values.to_pylist()
        where += [(file, row) for row in range(len(table))]
        values = table[label].to_numpy()
        if len(values) and not 0 <= int(values.min()) <= int(values.max()) < _MAX_CLASSES:
            raise DataError(f"{file}: labels run from {values.min()} to {values.max()}; they must lie in [0, {_MAX_CLASSES}).")
        labels.append(values.astype(np.int64))
        class_names = class_names or _class_names(schema.metadata, label)
    if not encoded:
        raise DataError(f"{', '.join(map(str, files))}: no rows.")

    def decode(row: int) -> tuple[UInt8, bool]:
        file, row_in_file = where[row]
        return _decode(encoded[row], f"{file}, row {row_in_file}")

    first, _ = decode(0)
    pixels = np.empty((len(encoded), *first.shape), dtype=np.uint8)

    def fill(row: int) -> bool:
        image, grey = decode(row)
        if image.shape != first.shape:
            raise DataError(
                f"{where[row][0]}, row {where[row][1]}: image of {image.shape[2]}x{image.shape[1]} pixels among images of "
                f"{first.shape[2]}x{first.shape[1]}. All images must have one size."
            )
        pixels[row] = image
        return grey

    with ThreadPoolExecutor() as pool:
        grey = all(list(pool.map(fill, range(len(encoded)), chunksize=256)))
    return _ParquetPart(pixels, np.concatenate(labels), grey, class_names)


def _decode(data: bytes | None, where: str) -> tuple[UInt8, bool]:
    """Encoded image -> ((3, H, W) uint8, whether it was grey)."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data or b"")) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"mode {image.mode}: not 8 bits a channel")
            grey = image.mode in ("1", "L", "LA", "La")
            rgb = np.asarray(image.convert("RGB"), dtype=np.uint8)
    except Exception as error:
        reason = "empty" if not data else re.sub(r"<_io.BytesIO[^>]*>", "", one_line(error, limit=120)).strip()
        raise DataError(f"{where}: broken image bytes ({reason}).") from error
    return rgb.transpose(2, 0, 1), grey


def _class_names(metadata: Mapping[bytes, bytes] | None, label: str) -> tuple[str, ...]:
    """Class names from the `huggingface` metadata of a Parquet file, where it has them."""
    try:
        info = json.loads((metadata or {})[b"huggingface"])
        return tuple(map(str, info["info"]["features"][label]["names"]))
    except (KeyError, TypeError, ValueError):
        return ()
