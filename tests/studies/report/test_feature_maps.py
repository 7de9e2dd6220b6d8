"""t-SNE maps, and how they are kept."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studies.report import feature_maps as module
from studies.report.feature_maps import MOST_PLACES, FeatureMaps, map_features, perplexity_of


def two_clusters(n: int = 12) -> npt.NDArray[np.float16]:
    rng = np.random.default_rng(0)
    centres = np.repeat([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], n // 2, axis=0)
    return (centres + 0.01 * rng.random((n, 3))).astype(np.float16)


def test_perplexity_fits_the_images() -> None:
    assert perplexity_of(2000) == 30
    assert perplexity_of(91) == 30
    assert perplexity_of(31) == 10
    assert perplexity_of(4) == 1


def test_clusters_stay_apart_and_the_same_seed_gives_the_same_map() -> None:
    values = two_clusters()
    places = map_features(values, seed=0)
    assert places.dtype == np.float32
    assert places.shape == (12, 2)
    assert np.array_equal(places, map_features(values, seed=0))
    assert np.allclose(places, map_features(values * np.float16(2), seed=0), atol=1e-3)  # directions alone count
    means = places[:6].mean(axis=0), places[6:].mean(axis=0)
    spread = max(np.linalg.norm(own - mean, axis=1).max() for own, mean in zip((places[:6], places[6:]), means, strict=True))
    assert np.linalg.norm(means[0] - means[1]) > spread


@pytest.mark.parametrize("values", [np.ones((5, 3)), np.zeros((5, 3)), np.ones((6, 1))])
def test_features_that_point_one_way_are_one_place(values: npt.NDArray[np.float64]) -> None:
    assert not map_features(values, seed=0).any()


def test_one_feature_and_few_images_have_a_map() -> None:
    assert np.isfinite(map_features(np.array([[1.0], [-1.0], [1.0], [-2.0]]), seed=2**40)).all()


def test_a_map_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, values = tmp_path / "report" / "feature_maps.parquet", two_clusters()
    first = FeatureMaps(path)
    places = first.map(values, seed=0)
    first.save()
    made: list[int] = []

    def counted(values: npt.NDArray[np.float16], *, seed: int) -> npt.NDArray[np.float32]:
        made.append(seed)
        return np.zeros((len(values), 2), dtype=np.float32)

    monkeypatch.setattr(module, "map_features", counted)
    again = FeatureMaps(path)
    assert np.array_equal(again.map(values, seed=0), places)
    before = path.stat().st_mtime_ns
    again.save()
    assert (made, path.stat().st_mtime_ns) == ([], before)
    other = FeatureMaps(path)
    other.map(values, seed=1)  # other randomness
    other.map(values[1:], seed=0)  # other images
    assert made == [1, 0]
    other.save()  # maps that nobody asked for are forgotten
    assert set(FeatureMaps(path)._known) == set(other._used)


@pytest.mark.parametrize(
    "content",
    [
        b"no Parquet",
        pa.table({"key": ["a"]}),
        pa.table({"key": [1.5], "x": ["b"], "y": ["c"]}),
        pa.table({"key": ["a"], "x": [float("nan")], "y": [0.0]}),
        pa.table({"key": pa.array([None], pa.string()), "x": [0.0], "y": [0.0]}),
        pa.table({"key": pa.array([], pa.string()), "x": pa.array([], pa.float32()), "y": pa.array([], pa.float32())}),
        pa.table({"key": ["a"] * (MOST_PLACES + 1), "x": [0.0] * (MOST_PLACES + 1), "y": [0.0] * (MOST_PLACES + 1)}),
    ],
)
def test_a_file_that_is_none_of_maps_is_passed_over(content: bytes | pa.Table, tmp_path: Path) -> None:
    path = tmp_path / "feature_maps.parquet"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        pq.write_table(content, path)
    maps = FeatureMaps(path)
    assert maps._known == {}
    places = maps.map(two_clusters(), seed=0)
    maps.save()
    assert np.array_equal(FeatureMaps(path).map(two_clusters(), seed=0), places)


def test_rows_of_a_map_need_not_stand_together(tmp_path: Path) -> None:
    path = tmp_path / "feature_maps.parquet"
    pq.write_table(pa.table({"key": ["b", "a", "b"], "x": [1.0, 2.0, 3.0], "y": [4.0, 5.0, float("inf")]}), path)
    assert {key: places.tolist() for key, places in FeatureMaps(path)._known.items()} == {"a": [[2.0, 5.0]]}


def test_a_file_with_a_key_a_row_is_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "feature_maps.parquet"
    values = np.zeros(MOST_PLACES, dtype=np.float32)
    pq.write_table(pa.table({"key": [f"k{number}" for number in range(MOST_PLACES)], "x": values, "y": values}), path)
    before = time.process_time()
    assert len(FeatureMaps(path)._known) == MOST_PLACES
    assert time.process_time() - before < 2  # a look at all rows for each key took a minute


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "report").write_bytes(b"a file where the folder would be")
    maps = FeatureMaps(tmp_path / "report" / "feature_maps.parquet")
    maps.map(np.ones((5, 2)), seed=0)
    maps.save()
    assert (tmp_path / "report").is_file()
