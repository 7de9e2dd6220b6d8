from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from scipy import ndimage

from bsd_core.robustness.warp import affine_between, sample_bilinear
from tests._dummies import make_images


@pytest.mark.parametrize("border", ["reflect", "mirror"])
@pytest.mark.parametrize(("height", "width"), [(9, 14), (2, 3), (1, 6), (1, 1)])
def test_sampling_is_scipys_within_rounding(height: int, width: int, border: Literal["reflect", "mirror"]) -> None:
    rng = np.random.default_rng(0)
    images = make_images(3, 2, height, width).astype(np.float64)
    x, y = rng.uniform(-1.5 * width, 2.5 * width, (3, 5, 7)), rng.uniform(-1.5 * height, 2.5 * height, (3, 5, 7))
    found = sample_bilinear(torch.from_numpy(images), torch.from_numpy(x), torch.from_numpy(y), border=border)
    for image, rows, columns, samples in zip(images, y, x, found.numpy(), strict=True):
        for channel in range(2):
            expected = ndimage.map_coordinates(image[channel], [rows, columns], order=1, mode=border)
            assert samples[channel] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("border", ["reflect", "mirror"])
def test_whole_positions_give_the_pixels(border: Literal["reflect", "mirror"]) -> None:
    images = torch.from_numpy(make_images(2, 3, 12, 17)).float()
    x = torch.arange(17.0).expand(2, 12, 17)
    y = torch.arange(12.0)[:, None].expand(2, 12, 17)
    assert torch.allclose(sample_bilinear(images, x, y, border=border), images, atol=1e-3, rtol=0)
    shifted = sample_bilinear(images, x + 1, y - 1, border=border)
    assert torch.allclose(shifted[:, :, 1:, :-1], images[:, :, :-1, 1:], atol=1e-3, rtol=0)
    # Outside: the edge pixel again, or the one before it.
    assert torch.allclose(shifted[:, :, 1:, -1], images[:, :, :-1, -1 if border == "reflect" else -2], atol=1e-3, rtol=0)


def test_an_affine_map_takes_the_points_to_the_points() -> None:
    rng = np.random.default_rng(0)
    source, target = rng.uniform(-20, 20, (2, 50, 3, 2))
    maps = affine_between(torch.from_numpy(source), torch.from_numpy(target)).numpy()
    moved = np.einsum("nij,npj->npi", maps[:, :, :2], source) + maps[:, None, :, 2]
    assert moved == pytest.approx(target, abs=1e-6)


def test_equal_points_give_the_identity_and_a_shift_a_shift() -> None:
    points = torch.tensor([[[26.0, 26.0], [26.0, 6.0], [6.0, 6.0]]])
    assert affine_between(points, points)[0].tolist() == [[1, 0, 0], [0, 1, 0]]
    assert affine_between(points, points + torch.tensor([2.0, -3.0]))[0].tolist() == [[1, 0, 2], [0, 1, -3]]
