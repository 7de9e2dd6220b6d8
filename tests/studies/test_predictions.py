from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bsd_core.errors import DataError, StorageError
from studies.predictions import Prediction, iterate_predictions, read_predictions, write_predictions


def make_prediction(split: str = "test", shift: str = "clean", name: str = "clean", severity: int = 0, *, n: int = 5) -> Prediction:
    """Logits of three classes, different in every prediction."""
    stream = np.random.default_rng([len(split), len(name), severity, n])
    logits = stream.normal(size=(n, 3)) * 4
    return Prediction(
        split=split,
        shift=shift,
        name=name,
        severity=severity,
        rows=np.arange(0, 2 * n, 2),
        targets=stream.integers(3, size=n),
        logits=(logits - logits.max(axis=1, keepdims=True)).astype(np.float16),
    )


def test_predictions_read_back_as_they_were_written(tmp_path: Path) -> None:
    """Two stretches that differ in one part of their key alone are still two."""
    written = [
        make_prediction("val"),
        make_prediction(),
        make_prediction(shift="corruption", name="fog", severity=1, n=3),
        make_prediction(shift="corruption", name="fog", severity=2, n=3),
        make_prediction(shift="corruption", name="frost", severity=2, n=1),
    ]
    write_predictions(tmp_path / "folder" / "trial.parquet", written)
    read = read_predictions(tmp_path / "folder" / "trial.parquet")
    assert [prediction.key for prediction in read] == [prediction.key for prediction in written]
    for one, other in zip(written, read, strict=True):
        for name in ("rows", "targets", "logits"):
            before, after = getattr(one, name), getattr(other, name)
            assert (after.dtype, after.shape) == (before.dtype, before.shape)
            assert np.array_equal(before, after)


def test_the_file_is_one_table_with_a_row_an_image(tmp_path: Path) -> None:
    prediction = make_prediction()
    write_predictions(tmp_path / "trial.parquet", [make_prediction("val", n=2), prediction])
    table = pq.read_table(tmp_path / "trial.parquet")
    assert table.column_names == ["split", "shift", "name", "severity", "row", "target", "predicted", "logits"]
    assert table.schema.field("logits").type == pa.list_(pa.float16(), 3)
    rows = table.to_pylist()
    assert [row["split"] for row in rows] == ["val"] * 2 + ["test"] * 5
    assert [row["row"] for row in rows[2:]] == [0, 2, 4, 6, 8]
    for row, logits, target in zip(rows[2:], prediction.logits, prediction.targets, strict=True):
        assert (row["logits"], row["target"], row["predicted"]) == (logits.tolist(), target, int(logits.argmax()))
        assert max(row["logits"]) == 0.0


def test_a_logit_takes_two_bytes(tmp_path: Path) -> None:
    """300 images of ten classes are 6000 bytes of logits; the rest is small."""
    stream = np.random.default_rng(0)
    logits = (stream.normal(size=(3000, 10)) * 5).astype(np.float16)
    write_predictions(
        tmp_path / "trial.parquet",
        [
            Prediction(
                split="test",
                shift="clean",
                name="clean",
                severity=0,
                rows=np.arange(3000),
                targets=stream.integers(10, size=3000),
                logits=logits - logits.max(axis=1, keepdims=True),
            )
        ],
    )
    assert (tmp_path / "trial.parquet").stat().st_size < 1.4 * 2 * 10 * 3000


def test_rewriting_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "trial.parquet"
    write_predictions(path, [make_prediction("val"), make_prediction()])
    write_predictions(path, [make_prediction(n=2)])
    (only,) = read_predictions(path)
    assert only.rows.tolist() == [0, 2]
    assert list(tmp_path.iterdir()) == [path]


def test_files_of_a_reader_without_dictionaries_are_read(tmp_path: Path) -> None:
    """Another program may write plain texts where we write dictionaries."""
    path = tmp_path / "trial.parquet"
    write_predictions(path, [make_prediction("val", n=2), make_prediction(n=3)])
    table = pq.read_table(path)
    for index, name in enumerate(("split", "shift", "name")):
        table = table.set_column(index, name, table[name].cast(pa.string()))
    pq.write_table(table, path)
    assert [(prediction.split, len(prediction.rows)) for prediction in read_predictions(path)] == [("val", 2), ("test", 3)]


def break_logits(path: Path, group: int) -> None:
    """Overwrite the logits of one row group."""
    chunk = pq.ParquetFile(path).metadata.row_group(group).column(7)
    assert chunk.path_in_schema.startswith("logits")
    start = min(offset for offset in (chunk.dictionary_page_offset, chunk.data_page_offset) if offset)
    content = bytearray(path.read_bytes())
    content[start : start + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    path.write_bytes(content)


def test_only_wanted_predictions_are_read(tmp_path: Path) -> None:
    """The logits of the others are broken, which nobody notices who does not look at them."""
    path = tmp_path / "trial.parquet"
    fog = [make_prediction(shift="corruption", name="fog", severity=severity) for severity in (1, 2)]
    write_predictions(path, [make_prediction("val"), make_prediction(), *fog])
    assert pq.ParquetFile(path).num_row_groups == 4
    assert [prediction.key for prediction in read_predictions(path, only=("test", "corruption"))] == [one.key for one in fog]
    assert read_predictions(path, only=("test", "perturbation")) == []
    for group in (0, 2, 3):
        break_logits(path, group)
    (only,) = read_predictions(path, only=("test", "clean"))
    assert np.array_equal(only.logits, make_prediction().logits)
    with pytest.raises(DataError, match="not a file of predictions"):
        read_predictions(path)


def test_predictions_are_read_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "trial.parquet"
    write_predictions(path, [make_prediction("val"), make_prediction(), make_prediction(shift="corruption", name="fog", severity=1)])
    break_logits(path, 2)
    found = iterate_predictions(path)
    assert next(found).split == "val"
    with pytest.raises(DataError, match="not a file of predictions"):
        next(found)


@pytest.mark.parametrize("size", [1, 2, 4, 100])
def test_row_groups_of_another_writer_are_put_together(size: int, tmp_path: Path) -> None:
    path = tmp_path / "trial.parquet"
    written = [make_prediction("val", n=3), make_prediction(n=5)]
    write_predictions(path, written)
    pq.write_table(pq.read_table(path), path, row_group_size=size)
    for one, other in zip(written, read_predictions(path), strict=True):
        assert one.key == other.key
        assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("rows", "targets", "logits"))


def damage(path: Path, how: str) -> None:
    table = pq.read_table(path)
    match how:
        case "missing":
            path.unlink()
        case "cut":
            path.write_bytes(path.read_bytes()[:-30])
        case "no rows":
            pq.write_table(table.slice(0, 0), path)
        case "a label is missing":
            targets = pa.array([None, *table["target"].to_pylist()[1:]], pa.int64())
            pq.write_table(table.set_column(table.column_names.index("target"), "target", targets), path)
        case "no logits":
            pq.write_table(table.drop_columns("logits"), path)
        case "no split":
            pq.write_table(table.drop_columns("split"), path)
        case "texts for numbers":
            names = pa.array(["many"] * len(table))
            pq.write_table(table.set_column(table.column_names.index("severity"), "severity", names), path)


@pytest.mark.parametrize("how", ["missing", "cut", "no rows", "a label is missing", "no logits", "no split", "texts for numbers"])
def test_a_broken_file_is_named(how: str, tmp_path: Path) -> None:
    path = tmp_path / "trial.parquet"
    write_predictions(path, [make_prediction()])
    damage(path, how)
    with pytest.raises(DataError, match=r"trial\.parquet: not a file of predictions \("):
        read_predictions(path)


def test_a_file_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="Cannot write"):
        write_predictions(tmp_path / "file" / "trial.parquet", [make_prediction()])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_prediction_tells_its_key() -> None:
    values: tuple[Any, ...] = ("test", "corruption", "fog", 3)
    assert make_prediction(*values).key == values
