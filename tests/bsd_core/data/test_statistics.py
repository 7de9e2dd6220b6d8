from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bsd_core.data import statistics
from bsd_core.data.augment import HOST_SAMPLE, Normaliser
from bsd_core.data.host_images import to_device
from bsd_core.data.statistics import channel_mean_and_std
from tests._dummies import make_images, make_mapped_images


@pytest.mark.parametrize("chunk_bytes", [1, 5_000, 1 << 20])
def test_mean_and_spread_are_those_of_numpy_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch, chunk_bytes: int) -> None:
    monkeypatch.setattr(statistics, "_CHUNK_BYTES", chunk_bytes)
    images = make_images(11, 3, 16, 12)
    mean, std = channel_mean_and_std(torch.from_numpy(images))
    assert mean.tolist() == pytest.approx((images / 255).mean((0, 2, 3)).tolist(), abs=1e-6)
    assert std.tolist() == pytest.approx((images / 255).std((0, 2, 3)).tolist(), abs=1e-6)


def test_mapped_images_are_counted_too(tmp_path: Path) -> None:
    images = make_images(5, 1, 8, 8)
    host = to_device(make_mapped_images(tmp_path, images), torch.device("cpu"))
    ours, theirs = Normaliser.fit(host), Normaliser.fit(torch.from_numpy(images))
    assert torch.equal(ours.mean, theirs.mean)
    assert torch.equal(ours.std, theirs.std)


def test_a_sample_is_evenly_spaced() -> None:
    images = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(10, 1, 2, 2)
    mean, _ = channel_mean_and_std(images, max_images=4)
    assert float(mean) == pytest.approx((0 + 3 + 6 + 9) / 4 / 255)  # every ceil(10 / 4) = third
    mean, _ = channel_mean_and_std(images, max_images=10)
    assert float(mean) == pytest.approx(4.5 / 255)


def test_only_a_sample_of_many_host_images_is_read() -> None:
    read: list[int] = []

    class Host:
        def __len__(self) -> int:
            return 3 * HOST_SAMPLE

        def __getitem__(self, rows: torch.Tensor) -> torch.Tensor:
            read.append(len(rows))
            return torch.zeros((len(rows), 1, 2, 2), dtype=torch.uint8)

    Normaliser.fit(Host())
    assert sum(read) == HOST_SAMPLE + 1  # the first row also tells the shape


def test_a_constant_channel_keeps_a_spread() -> None:
    mean, std = channel_mean_and_std(torch.full((3, 1, 4, 4), 51, dtype=torch.uint8))
    assert mean.tolist() == pytest.approx([0.2])
    assert std.tolist() == pytest.approx([1e-3])
    assert np.isfinite(std.numpy()).all()
