"""Stored features: what is read is what was written, and a stranger's file is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bsd_core.errors import DataError
from studies.features import FEATURE_IMAGES, Features, features_folder, read_features, write_features
from studies.kept import Kept, write_kept


def make_features(n: int = 6, d: int = 4, *, factor: float = 1.0) -> Features:
    rng = np.random.default_rng(0)
    return Features.of(np.arange(0, 2 * n, 2), np.arange(n) % 3, factor * rng.normal(size=(n, d)))


def write_table(path: Path, **changes: pa.Array) -> None:
    """A file of features with other columns."""
    features = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(4, dtype=np.float16)), 2)
    columns = {"row": pa.array([0, 1]), "target": pa.array([0, 0]), "features": features, **changes}
    pq.write_table(pa.table(columns).replace_schema_metadata({"scale": "1.0"}), path)


@pytest.mark.parametrize("factor", [1e-30, 1.0, 1e30])
def test_features_of_any_size_are_read_as_they_were_written(tmp_path: Path, factor: float) -> None:
    features = make_features(factor=factor)
    write_features(tmp_path / "features" / "a.parquet", features)
    read = read_features(tmp_path / "features" / "a.parquet")
    assert np.array_equal(read.rows, features.rows)
    assert np.array_equal(read.targets, features.targets)
    assert np.array_equal(read.values, features.values)
    assert read.values.dtype == np.float16
    assert read.scale == features.scale
    assert np.abs(read.values).max() == 1
    rng = np.random.default_rng(0)
    assert read.values.astype(np.float64) * read.scale == pytest.approx(factor * rng.normal(size=(6, 4)), rel=1e-3)


def test_features_that_are_all_zero_have_a_scale() -> None:
    zero = Features.of(np.arange(2), np.zeros(2, dtype=np.int64), np.zeros((2, 3)))
    assert zero.scale == 1
    assert not zero.values.any()


def test_equal_features_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_features(tmp_path / name, make_features())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"features": pa.array([[0.5], [0.5]])}, "features are list"),
        ({"features": pa.FixedSizeListArray.from_arrays(pa.array([0.0] * 4), 2)}, "features are fixed_size_list"),
        ({"features": pa.FixedSizeListArray.from_arrays(pa.array(np.full(4, np.nan, dtype=np.float16)), 2)}, "not a feature"),
        ({"features": pa.array([0, 1])}, "features are int64"),
        ({"row": pa.array([0, None])}, "missing"),
        ({"row": pa.array([-1, 0])}, "not a feature, a row or a label"),
        ({"target": pa.array(["a", "b"])}, "column target is string"),
        ({"row": pa.array([0.0, 1.0])}, "column row is double"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, changes: dict[str, pa.Array], why: str) -> None:
    write_table(tmp_path / "a.parquet", **changes)
    with pytest.raises(DataError, match=rf"a\.parquet: not a file of features \(.*{why}"):
        read_features(tmp_path / "a.parquet")


def test_texts_in_place_of_numbers_are_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(tmp_path / "a.parquet", row=pa.array(["9" * 200_000] * 2))
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *args, **named: pytest.fail("it was read"))
    with pytest.raises(DataError, match="column row is string"):
        read_features(tmp_path / "a.parquet")


def test_more_images_than_are_ever_kept_are_refused(tmp_path: Path) -> None:
    write_features(tmp_path / "a.parquet", make_features(n=FEATURE_IMAGES + 1, d=1))
    with pytest.raises(DataError, match="2,001 rows"):
        read_features(tmp_path / "a.parquet")


def test_what_is_no_parquet_or_has_no_scale_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="not a file of features"):
        read_features(tmp_path / "a.parquet")
    write_table(tmp_path / "b.parquet")
    pq.write_table(pq.read_table(tmp_path / "b.parquet").replace_schema_metadata(None), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="scale"):
        read_features(tmp_path / "b.parquet")


def test_only_what_is_kept_is_written(tmp_path: Path) -> None:
    write_kept(tmp_path / "predictions", "a", Kept([], None))
    assert list(tmp_path.iterdir()) == []
    write_kept(tmp_path / "predictions", "a", Kept([], make_features()))
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.parquet")] == ["features/a.parquet"]
    assert features_folder(tmp_path / "predictions") == tmp_path / "features"
