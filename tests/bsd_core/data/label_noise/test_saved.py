from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsd_core.data.label_noise import NoiseRecord, SplitLabels, load_labels, save_labels
from bsd_core.errors import DataError, StorageError
from tests._dummies import PROPERTY, Int64

RECORD = NoiseRecord(kind="symmetric", rate=0.4, seed=2**62, n_classes=10, data_fingerprint="0123abcd")
TRAIN = SplitLabels(np.array([0, 2, 5, 9]), np.array([1, 1, 3, 0]), np.array([1, 4, 3, 9]))
VAL = SplitLabels(np.array([1, 3]), np.array([7, 8]), np.array([7, 0]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_labels(tmp_path / "folder" / "labels.parquet", {"train": TRAIN, "val": VAL}, RECORD)
    return tmp_path / "folder" / "labels.parquet"


def load(path: Path, **changes: tuple[list[int], list[int]]) -> Mapping[str, Int64]:
    wanted = {"train": (TRAIN.rows, TRAIN.true), "val": (VAL.rows, VAL.true)}
    wanted |= {name: (np.array(rows), np.array(true)) for name, (rows, true) in changes.items()}
    return load_labels(path, wanted, n_classes=10)[0]


def test_labels_and_their_record_come_back(path: Path) -> None:
    found, record = load_labels(path, {"train": (TRAIN.rows, TRAIN.true), "val": (VAL.rows, VAL.true)}, n_classes=10)
    assert record == RECORD
    assert {name: labels.tolist() for name, labels in found.items()} == {"train": TRAIN.given.tolist(), "val": VAL.given.tolist()}
    assert found["train"].dtype == np.int64


def test_the_table_is_open_to_others(path: Path) -> None:
    table = pq.read_table(path)
    assert table.schema.names == ["split", "row", "true_label", "given_label"]
    assert table.slice(1, 1).to_pylist() == [{"split": "train", "row": 2, "true_label": 1, "given_label": 4}]
    assert json.loads(table.schema.metadata[b"label_noise"])["kind"] == "symmetric"


def test_one_split_can_be_read_alone_and_in_another_order(path: Path) -> None:
    found, _ = load_labels(path, {"train": (TRAIN.rows[::-1], TRAIN.true[::-1])}, n_classes=10)
    assert found["train"].tolist() == TRAIN.given[::-1].tolist()


@PROPERTY
@given(rows=st.lists(st.integers(0, 10**6), unique=True, max_size=30), seed=st.integers(0, 99))
def test_any_labels_come_back_row_by_row(rows: list[int], seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    random = np.random.default_rng(seed)
    labels = SplitLabels(np.array([7, *[row + 8 for row in rows]]), *random.integers(0, 10, (2, len(rows) + 1)))
    file = tmp_path_factory.getbasetemp() / "any.parquet"
    save_labels(file, {"train": labels}, RECORD)
    order = random.permutation(len(labels.rows))
    found, _ = load_labels(file, {"train": (labels.rows[order], labels.true[order])}, n_classes=10)
    assert np.array_equal(found["train"], labels.given[order])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train": ([0, 2, 5, 8], [1, 1, 3, 0])},
            r"split 'train' lacks 1 rows of the official .*; the first is row 8 \(4 images in the file",
        ),
        ({"train": ([0, 2], [1, 1])}, r"split 'train' has, beyond the images here, 2 rows .* the first is row 5 \(4 images .*, 2 here\)"),
        ({"val": ([1, 3], [7, 2])}, r"split 'val' has another true label at 1 of 2 images; the first is row 3, 8 in the file and 2 here"),
        (
            {"test": ([1], [1])},
            r"has no labels of the split 'test'\. It has: 'train', 'val'\. A study needs train and val, .* writes train alone",
        ),
    ],
)
def test_labels_of_other_data_are_refused(changes: Any, message: str, path: Path) -> None:
    with pytest.raises(DataError, match=message):
        load(path, **changes)


def test_labels_of_another_number_of_classes_are_refused(path: Path) -> None:
    with pytest.raises(DataError, match=r"labels of 10 classes, but the data here has 100"):
        load_labels(path, {"train": (TRAIN.rows, TRAIN.true)}, n_classes=100)


def rewrite(path: Path, **columns: Any) -> None:
    table = pq.read_table(path)
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, values)
    pq.write_table(table, path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"given_label": pa.array([1, 4, 3, 10, 7, 0])}, r"given labels must lie in \[0, 10\), but run from 1 to 10"),
        (
            {"given_label": pa.array([1, 4, 3, None, 7, 0])},
            r"expected columns split \(text\) and row, true_label, given_label .* without gaps",
        ),
        ({"given_label": pa.array([0.5] * 6)}, r"expected columns .* it has split \(string\), .* given_label \(double\)"),
        ({"given_label": pa.array([2**64 - 1] * 6, pa.uint64())}, r"expected columns .* given_label \(uint64\)"),
        ({"given_label": pa.array([True] * 6)}, r"expected columns .* given_label \(bool\)"),
        ({"split": pa.array([1] * 6)}, r"expected columns split \(text\) .* it has split \(int64\)"),
        ({"row": pa.array([0, 0, 5, 9, 1, 3])}, r"split 'train' has a row twice"),
    ],
)
def test_a_table_that_was_changed_is_refused(columns: Any, message: str, path: Path) -> None:
    rewrite(path, **columns)
    with pytest.raises(DataError, match=message):
        load(path)


@pytest.mark.parametrize(
    "columns",
    [
        {"split": pa.array(["train"] * 4 + ["val"] * 2, pa.large_string())},
        {"split": pa.array(["train"] * 4 + ["val"] * 2).dictionary_encode()},
        {"given_label": pa.array([1, 4, 3, 9, 7, 0], pa.uint8()), "row": pa.array([0, 2, 5, 9, 1, 3], pa.uint64())},
        {"true_label": pa.array([1, 1, 3, 0, 7, 8], pa.int16()).dictionary_encode()},
    ],
)
def test_columns_as_other_programs_store_them_are_read(columns: dict[str, Any], path: Path) -> None:
    rewrite(path, **columns)
    found = load(path)
    assert {name: labels.tolist() for name, labels in found.items()} == {"train": TRAIN.given.tolist(), "val": VAL.given.tolist()}
    assert found["train"].dtype == np.int64


def test_a_column_that_is_there_twice_is_refused(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.append_column("row", table["row"]), path)
    with pytest.raises(DataError, match=r"(expected columns .* row \(int64\), .* row \(int64\)|not a readable Parquet file)"):
        load(path)


def test_folders_with_names_of_columns_add_nothing(path: Path) -> None:
    inner = path.parent / "split=other" / "labels.parquet"
    inner.parent.mkdir()
    path.rename(inner)
    assert load(inner)["train"].tolist() == TRAIN.given.tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": "3"}, r"does not say where the labels come from: `seed is a whole number, or one for each split` must hold"),
        ({"rate": None}, r"does not say where the labels come from: `rate is a number` must hold, but got rate=None"),
        ({"kind": ["symmetric"]}, r"`kind is a text`"),
        ({"n_classes": 10.0}, r"`n_classes is a whole number >= 1`"),
        ({"surprise": 1}, r"unexpected keyword argument 'surprise'"),
    ],
)
def test_metadata_of_another_form_are_refused(changes: dict[str, Any], message: str, path: Path) -> None:
    record = dataclasses.asdict(RECORD) | changes
    pq.write_table(pq.read_table(path).replace_schema_metadata({"label_noise": json.dumps(record)}), path)
    with pytest.raises(DataError, match=message):
        load(path)


def test_metadata_of_a_record_without_details_are_read(path: Path) -> None:
    record = dataclasses.asdict(RECORD)
    del record["details"]
    pq.write_table(pq.read_table(path).replace_schema_metadata({"label_noise": json.dumps(record)}), path)
    assert load_labels(path, {"val": (VAL.rows, VAL.true)}, n_classes=10)[1] == RECORD


def test_a_file_that_is_missing_or_of_another_form_is_refused(path: Path) -> None:
    with pytest.raises(DataError, match=r"No such file: '.*none\.parquet'"):
        load(path.with_name("none.parquet"))
    pq.write_table(pq.read_table(path).replace_schema_metadata({}), path)
    with pytest.raises(DataError, match=r"its metadata does not say where the labels come from"):
        load(path)
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(DataError, match=r"expected columns split .* but it has x \(int64\)"):
        load(path)
    path.write_bytes(b"no table")
    with pytest.raises(DataError, match=r"labels\.parquet: not a readable Parquet file"):
        load(path)


def test_a_file_that_cannot_be_finished_leaves_the_older_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(StorageError, match=r"Cannot write '.*labels\.parquet': .*No space left"):
        save_labels(path, {"train": VAL}, RECORD)
    assert load(path)["train"].tolist() == TRAIN.given.tolist()
    assert [file.name for file in path.parent.iterdir()] == ["labels.parquet"]


def test_labels_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(DataError, match=r"of one shape \(N,\), but got \(2,\), \(2,\) and \(3,\)"):
        SplitLabels(np.array([0, 1]), np.array([0, 1]), np.array([0, 1, 2]))
    with pytest.raises(DataError, match=r"as integers, but got int64, int64, float64"):
        SplitLabels(np.array([0, 1]), np.array([0, 1]), np.array([0.5, 1]))
    with pytest.raises(DataError, match=r"occurs twice in one split"):
        SplitLabels(np.array([4, 4]), np.array([0, 1]), np.array([0, 1]))
