from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studies import parquet_file
from studies.parquet_file import read_parquet
from studies.schemas import TRIALS

MIB = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.parquet"


def test_what_was_written_is_read(path: Path) -> None:
    columns = {
        "text": pa.array(["a", None, "ä" * 300]),
        "large": pa.array(["a", "", None], pa.large_string()),
        "once": pa.array(["a", "b", "a"]).dictionary_encode(),
        "bytes": pa.array([b"\xff", None, b""]),
        "number": pa.array([1, None, 3]),
        "half": pa.array([0.5, 0.25, None], pa.float16()),
    }
    table = pa.table(columns, metadata={"schema_version": "9"})
    pq.write_table(table, path, row_group_size=2)
    found = read_parquet(path)
    assert found.equals(table)
    assert found.schema.equals(pq.read_schema(path), check_metadata=True)
    assert read_parquet(path, ["number", "text"]).select(["number", "text"]).equals(table.select(["number", "text"]))
    pq.write_table(table, path, use_dictionary=False)
    assert read_parquet(path).equals(table)


def test_a_table_without_rows_keeps_its_schema(path: Path) -> None:
    pq.write_table(TRIALS.empty_table(), path)
    assert read_parquet(path).schema.equals(TRIALS, check_metadata=False)


@pytest.mark.parametrize("stored", [True, False])
def test_a_long_text_that_the_file_holds_once_counts_as_often_as_it_is_there(
    stored: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_file, "machine_memory", lambda: 64 * MIB)
    places = pa.array([0] * 1200, pa.int32())
    pq.write_table(pa.table({"text": pa.DictionaryArray.from_arrays(places, ["x" * MIB])}), path, store_schema=stored, compression="zstd")
    assert path.stat().st_size < 10_000
    usual, counted = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(counted)
    try:
        with pytest.raises(ValueError, match=r"^its texts hold 1,258,291,200 bytes, which would not fit into memory$"):
            read_parquet(path)
    finally:
        pa.set_memory_pool(usual)
    assert 0 < (counted.max_memory() or 0) < 64 * MIB


def test_wide_values_of_one_length_count_by_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "machine_memory", lambda: 64 * MIB)
    pq.write_table(pa.table({"wide": pa.array([b"x" * MIB] * 100, pa.binary(MIB))}), path, compression="zstd")
    assert path.stat().st_size < 1 * MIB
    with pytest.raises(ValueError, match=r"^it says to have 100 rows, which would not fit into memory$"):
        read_parquet(path)


@pytest.mark.parametrize("values", [pa.array([["a"], None]), pa.array([{"a": 1}, None])])
def test_nested_values_are_refused_where_they_are_asked_for(values: pa.Array, path: Path) -> None:
    pq.write_table(pa.table({"nested": values, "plain": [1, 2]}), path)
    with pytest.raises(ValueError, match=r"^column 'nested' is not of plain values$"):
        read_parquet(path)
    assert read_parquet(path, ["plain"])["plain"].to_pylist() == [1, 2]


def test_a_column_must_be_there_once(path: Path) -> None:
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    with pytest.raises(ValueError, match="column 'a' is there 2 times"):
        read_parquet(path)
    with pytest.raises(ValueError, match="column 'b' is there 0 times"):
        read_parquet(path, ["b"])
