from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from bsd_core.robustness.colour import change_hsv
from tests._dummies import UInt8
from tests.bsd_core.robustness.readings import digital as readings

# Every amount of the reference at any image size, and some of its perturbations
AMOUNTS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, -0.225, 0.015)
SATURATIONS = ((0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.0), (2.0, 0.1), (2.5, 0.2), (5.0, 0.1), (20.0, 0.2), (30.0, 0.2))


@pytest.fixture(scope="module")
def colours() -> UInt8:
    """(1, 3, 1, 200,000): any colours, near-greys, and all of 15 levels at which sums and quotients come out even."""
    rng = np.random.default_rng(0)
    anywhere = rng.integers(0, 256, (3, 120_000))
    greyish = np.clip(rng.integers(0, 256, 76_625) + rng.integers(-2, 3, (3, 76_625)), 0, 255)
    even = np.array([0, 1, 2, 17, 51, 85, 102, 127, 128, 153, 170, 204, 238, 254, 255])
    corners = np.stack(np.meshgrid(even, even, even)).reshape(3, -1)
    return np.concatenate([anywhere, greyish, corners], axis=1).astype(np.uint8)[None, :, None]


@pytest.mark.parametrize("amount", AMOUNTS)
def test_a_changed_value_has_the_bits_of_scikit_images_arithmetic(amount: float, colours: UInt8) -> None:
    found = change_hsv(torch.from_numpy(colours), value=lambda value: value.add_(amount).clamp_(0.0, 1.0))
    expected = readings.brightness(colours[0].transpose(1, 2, 0), amount, np.random.default_rng(0))
    assert np.array_equal(found[0].numpy(), expected.transpose(2, 0, 1))


@pytest.mark.parametrize("parameter", SATURATIONS)
def test_a_changed_saturation_has_the_bits_of_scikit_images_arithmetic(parameter: tuple[float, float], colours: UInt8) -> None:
    def change(saturation: Tensor) -> Tensor:
        return saturation.mul_(parameter[0]).add_(parameter[1]).clamp_(0.0, 1.0)

    found = change_hsv(torch.from_numpy(colours), saturation=change)
    expected = readings.saturate(colours[0].transpose(1, 2, 0), parameter, np.random.default_rng(0))
    assert np.array_equal(found[0].numpy(), expected.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("colour", "without", "full"),
    [
        ((200, 100, 50), (200, 200, 200), (200, 66, 0)),  # a third of the way from red to yellow: 200 / 3
        ((50, 200, 100), (200, 200, 200), (0, 200, 66)),
        ((100, 50, 200), (200, 200, 200), (66, 0, 200)),
        ((255, 0, 255), (255, 255, 255), (255, 0, 255)),
        ((90, 90, 90), (90, 90, 90), (90, 0, 0)),  # grey is a red without saturation
        ((0, 0, 0), (0, 0, 0), (0, 0, 0)),
    ],
)
def test_saturation_0_is_grey_of_the_same_value_and_1_a_pure_colour(
    colour: tuple[int, int, int], without: tuple[int, int, int], full: tuple[int, int, int]
) -> None:
    pixel = torch.tensor(colour, dtype=torch.uint8).view(1, 3, 1, 1)
    assert tuple(change_hsv(pixel, saturation=torch.zeros_like).flatten().tolist()) == without
    assert tuple(change_hsv(pixel, saturation=torch.ones_like).flatten().tolist()) == full


def test_without_a_change_colours_move_by_one_grey_level_at_most(colours: UInt8) -> None:
    difference = change_hsv(torch.from_numpy(colours)).numpy().astype(int) - colours
    assert set(np.unique(difference)) == {-1, 0}  # truncation
