from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from bsd_core.robustness.corruptions import corrupt
from bsd_core.robustness.corruptions.severities import SEVERITIES, strength
from bsd_core.robustness.corruptions.spatter import grey_levels, liquid_layer
from bsd_core.robustness.corruptions.spatter import spatter as spatter_function
from bsd_core.robustness.random_fields import RandomField
from tests._dummies import Float64, UInt8, make_images
from tests.bsd_core.robustness.readings import spatter as readings

SHAPES = [(3, 32, 32), (1, 32, 32), (3, 8, 8), (3, 24, 40), (1, 1, 1)]  # (C, H, W)


def spatter(images: UInt8, severity: int, *, seed: int = 0) -> UInt8:
    out: UInt8 = corrupt(torch.from_numpy(images), "spatter", severity, seed=seed, indices=torch.arange(len(images))).numpy()
    return out


def parameter_of(severity: int, *, side: int = 32) -> readings.Parameter:
    parameter: readings.Parameter = strength("spatter", severity, height=side, width=side)
    return parameter


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_spatter_is_its_definition_applied_to_the_same_noise(severity: int, shape: tuple[int, int, int]) -> None:
    images = make_images(4, *shape, seed=severity)
    parameter = parameter_of(severity, side=min(shape[1:]))
    mean, spread, blur, threshold, _, _ = parameter
    noise = RandomField(0, "spatter", severity, indices=torch.arange(4)).normal(shape[1] * shape[2]).numpy().reshape(4, *shape[1:])
    layers = [ndimage.gaussian_filter(mean + spread * plane.astype(np.float64), blur, mode="nearest", truncate=4) for plane in noise]
    expected = [
        readings.spatter_of_layer(image.transpose(1, 2, 0), np.where(layer < threshold, 0, layer), parameter).transpose(2, 0, 1)
        for image, layer in zip(images, layers, strict=True)
    ]
    difference = np.abs(spatter(images, severity).astype(int) - np.stack(expected))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001


@pytest.mark.parametrize("severity", SEVERITIES)
def test_the_layer_has_the_mean_spread_and_autocorrelation_of_blurred_noise(severity: int) -> None:
    mean, spread, blur, _, _, _ = parameter_of(severity)
    field = RandomField(0, "spatter", severity, indices=torch.arange(400))
    images = torch.zeros(400, 3, 32, 32, dtype=torch.uint8)
    layer = liquid_layer(images, mean, spread, blur, -np.inf, field).numpy()
    impulse = np.zeros((31, 31))
    impulse[15, 15] = 1
    kernel = ndimage.gaussian_filter(impulse, blur)
    inner = layer[:, 5:-5, 5:-5] - mean  # away from the border, where replicated pixels raise the spread
    # Some 20,000 places that do not overlap, or more.
    assert inner.mean() == pytest.approx(0, abs=5 * spread / np.sqrt(layer.size))
    assert inner.std() == pytest.approx(spread * np.sqrt((kernel**2).sum()), rel=0.02)
    for down, right in [(0, 1), (1, 0), (1, 1), (0, 2), (2, 0)]:
        expected = (kernel[down:, right:] * kernel[: 31 - down, : 31 - right]).sum() / (kernel**2).sum()
        found = (inner[:, down:, right:] * inner[:, : 22 - down, : 22 - right]).mean() / inner.var()
        assert found == pytest.approx(expected, abs=0.02)


def autocorrelation(added: Float64) -> list[float]:
    """Of (N, H, W), at a few distances."""
    centred = added - added.mean()
    moves = [(0, 1), (1, 0), (1, 1), (0, 3), (3, 0), (5, 5)]
    products = [(centred[:, down:, right:] * centred[:, : 32 - down, : 32 - right]).mean() for down, right in moves]
    return [float(product / centred.var()) for product in products]


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_what_is_added_has_the_autocorrelation_of_an_independent_sample(severity: int) -> None:
    images = np.full((300, 1, 32, 32), 60, np.uint8)
    found = spatter(images, severity)[:, 0].astype(np.float64) - 60
    rng = np.random.default_rng(severity)
    sample = np.stack([readings.spatter(image.transpose(1, 2, 0), parameter_of(severity), rng)[..., 0] for image in images[:100]])
    expected = sample.astype(np.float64) - 60
    assert found.mean() == pytest.approx(expected.mean(), abs=5 * expected.mean((1, 2)).std() / np.sqrt(75))
    assert autocorrelation(found) == pytest.approx(autocorrelation(expected), abs=0.06)


def test_water_adds_light_and_mud_covers() -> None:
    grey = np.full((20, 3, 32, 32), 120, np.uint8)
    water, mud = spatter(grey, 2).astype(int), spatter(grey, 5).astype(int)
    assert water.min() == 120
    # Pale turquoise has less red than green and as much blue as green.
    assert (water[:, 0] <= water[:, 1]).all()
    assert np.array_equal(water[:, 1], water[:, 2])
    covered = mud[:, 0] != 120
    assert 0.01 < covered.mean() < 0.5
    # At least 0.8 of the mud's red 63 and at most 0.2 of the grey below.
    assert mud[:, 0][covered].min() >= 62
    assert mud[:, 0][covered].max() <= 0.8 * 63 + 0.2 * 120


def test_a_grey_image_gets_the_grey_of_the_colour() -> None:
    everywhere = (0.65, 0.1, 0.7, -10.0, 0.6, 1)
    for channels, expected in [(1, [int(0.299 * 63 + 0.587 * 42 + 0.114 * 20)]), (3, [63, 42, 20])]:
        images = torch.from_numpy(make_images(2, channels))
        mud = spatter_function(images, everywhere, RandomField("mud", indices=torch.arange(2)))
        assert (mud == torch.tensor(expected, dtype=torch.uint8)[:, None, None]).all()
    water = [spatter(np.zeros((5, channels, 32, 32), np.uint8), 1).astype(int) for channels in (1, 3)]
    luma = 0.299 * water[1][:, 0] + 0.587 * water[1][:, 1] + 0.114 * water[1][:, 2]
    assert np.abs(water[0][:, 0] - luma).max() <= 1  # each channel is truncated


def test_levels_above_white_begin_again_at_black() -> None:
    assert grey_levels(torch.tensor([0.0, 0.5, 1.0, 1.01], dtype=torch.float64)).tolist() == [0, 127, 255, 1]
