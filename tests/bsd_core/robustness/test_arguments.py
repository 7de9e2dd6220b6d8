from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bsd_core.errors import ConfigError
from bsd_core.robustness.arguments import check_images, check_seed, check_severity
from bsd_core.robustness.corruptions import corrupt
from bsd_core.robustness.perturbations import frames
from tests._dummies import make_images


@pytest.mark.parametrize("three", [3, np.int64(3), np.uint8(3), torch.tensor(3)])
def test_whole_numbers_of_any_kind_are_severities_and_seeds(three: Any) -> None:
    assert check_severity(three) == 3
    assert check_seed(three) == 3
    assert type(check_severity(three)) is type(check_seed(three)) is int


@pytest.mark.parametrize("severity", [0, 6, 3.0, "3", True, None, np.float64(3), [3]])
def test_other_severities_are_refused(severity: Any) -> None:
    with pytest.raises(ConfigError, match=r"`severity is 1, 2, 3, 4 or 5` must hold, but got severity="):
        check_severity(severity)


@pytest.mark.parametrize("seed", [0.0, "0", None, True, np.float32(1)])
def test_other_seeds_are_refused(seed: Any) -> None:
    with pytest.raises(ConfigError, match=r"A seed is a whole number, but got"):
        check_seed(seed)


@pytest.mark.parametrize("seed", [np.int64(7), torch.tensor(7)])
def test_equal_seeds_of_any_kind_give_equal_pixels(seed: Any) -> None:
    images, indices = torch.from_numpy(make_images(2)), torch.arange(2)
    assert torch.equal(
        corrupt(images, "gaussian_noise", 1, seed=seed, indices=indices), corrupt(images, "gaussian_noise", 1, seed=7, indices=indices)
    )
    for first, second in zip(
        frames(images, "shot_noise", seed=seed, indices=indices), frames(images, "shot_noise", seed=7, indices=indices), strict=True
    ):
        assert torch.equal(first, second)


@pytest.mark.parametrize(
    "indices", [np.arange(2), [0, 1], torch.tensor([0, 1], dtype=torch.int32), torch.tensor([0, 1], dtype=torch.uint8)]
)
def test_indices_of_any_kind_are_taken(indices: Any) -> None:
    images = torch.from_numpy(make_images(2))
    expected = corrupt(images, "gaussian_noise", 1, seed=0, indices=torch.arange(2))
    assert torch.equal(corrupt(images, "gaussian_noise", 1, seed=0, indices=indices), expected)


@pytest.mark.parametrize("indices", [None, torch.tensor([True, False]), torch.zeros(2, dtype=torch.complex64), "01", torch.zeros(2)])
def test_indices_that_are_no_numbers_are_refused(indices: Any) -> None:
    with pytest.raises(ValueError, match=r"Expected one integer index an image, shape \(2,\), but got"):
        check_images(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), indices)


def test_arrays_are_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match=r"Expected images as a tensor, but got ndarray\. .*torch\.from_numpy\(images\)"):
        corrupt(make_images(2), "fog", 1, seed=0, indices=torch.arange(2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"Expected images as a tensor"):
        frames(make_images(2), "tilt", seed=0, indices=torch.arange(2))  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(2, 3, 0, 0), (2, 1, 0, 5), (2, 3, 5, 0)])
def test_images_without_pixels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Expected images with pixels"):
        corrupt(torch.zeros(shape, dtype=torch.uint8), "fog", 1, seed=0, indices=torch.arange(2))
