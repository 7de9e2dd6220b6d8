"""Large sets stay on disk: what a process needs for itself while it loads and reads one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.benchmarks.bench_decode import LOADER_BYTES, WORKER_BYTES, measure_load, write_folder


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_loading_and_reading_a_mapped_set_needs_a_fraction_of_its_bytes(tmp_path: Path) -> None:
    n_images = 640
    write_folder(tmp_path / "images", n_images, n_distinct=20)
    pixels = n_images * 3 * 224**2  # 92 MiB
    mapped = measure_load(tmp_path / "images", tmp_path / "data", in_memory_bytes=0)
    assert (mapped.kind, mapped.n_images) == ("MappedImages", n_images)
    assert mapped.loader_bytes < min(LOADER_BYTES, pixels / 2)
    assert mapped.worker_bytes < min(WORKER_BYTES, pixels / 2)
    assert mapped.total_bytes < mapped.bound_bytes
    # The instrument does see memory: the same set in ordinary memory, from the cache that is there now.
    loaded = measure_load(tmp_path / "images", tmp_path / "data", in_memory_bytes=2 << 30)
    assert (loaded.kind, loaded.n_workers) == ("ndarray", 0)
    assert loaded.loader_bytes > pixels
