from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from bsd_core.errors import DataError
from bsd_core.robustness.corruptions import corrupt, weather
from bsd_core.robustness.corruptions.severities import SEVERITIES, strength
from bsd_core.robustness.frost_textures import FrostTextures
from bsd_core.robustness.plasma import plasma_side
from bsd_core.robustness.random_fields import RandomField
from tests._dummies import Float64, UInt8, make_images
from tests.bsd_core.robustness.readings import weather as readings
from tests.bsd_core.robustness.readings.replay import Replay

SHAPES = [(3, 32, 32), (1, 32, 32), (3, 8, 8), (1, 1, 1), (3, 24, 40), (3, 64, 64), (1, 13, 9)]  # (C, H, W)


def make_field(n: int, seed: int = 0) -> RandomField:
    return RandomField(seed, "test", indices=torch.arange(n))


def compare(found: UInt8, images: UInt8, read: Callable[[UInt8, np.random.Generator], UInt8], numbers: list[Replay]) -> Float64:
    """|found - the reading of each image with its random numbers|."""
    expected = []
    for image, rng in zip(images, numbers, strict=True):
        expected.append(read(image.transpose(1, 2, 0), cast(np.random.Generator, rng)).transpose(2, 0, 1))
        assert rng.is_used_up()
    return np.abs(found - np.stack(expected).astype(np.float64))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_fog_is_its_definition_on_its_random_numbers(severity: int, shape: tuple[int, int, int]) -> None:
    images = make_images(3, *shape, seed=severity)
    parameter = strength("fog", severity, height=shape[1], width=shape[2])
    found = weather.fog(torch.from_numpy(images), parameter, make_field(3)).numpy()
    bits = make_field(3).bits(plasma_side(*shape[1:]) ** 2 - 1)
    numbers = [Replay(uniform=row) for row in (bits.double() / 2**32 + 0.5).numpy()]
    difference = compare(found, images, lambda image, rng: readings.fog(image, parameter, rng), numbers)
    # A last bit decides where the sum falls on a whole grey level, as it does under the brightest cloud.
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001 + 6 / difference.size


def test_fog_keeps_the_brightest_value_and_leaves_black_images_black() -> None:
    images = np.zeros((2, 3, 32, 32), np.uint8)
    images[1, 0] = 180
    out = weather.fog(torch.from_numpy(images), (1.5, 1.75), make_field(2)).numpy()
    assert (out[0] == 0).all()
    assert out[1, 0].max() in (179, 180)
    assert out[1, 1].min() == 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_snow_is_its_definition_on_its_random_numbers(severity: int, shape: tuple[int, int, int]) -> None:
    images = make_images(3, *shape, seed=severity)
    height, width = shape[1:]
    parameter = strength("snow", severity, height=height, width=width)
    found = weather.snow(torch.from_numpy(images), parameter, make_field(3)).numpy()
    # Of the layer only what the zoom leaves in sight is drawn.
    rows, columns = math.ceil(height / parameter[2]), math.ceil(width / parameter[2])
    layers = np.full((3, height, width), np.nan)
    top, left = (height - rows) // 2, (width - columns) // 2
    layers[:, top : top + rows, left : left + columns] = make_field(3).normal(rows * columns).view(3, rows, columns)
    angles = make_field(3).uniform(1, stream=1).double().numpy()
    numbers = [Replay(normal=layer, uniform=angle) for layer, angle in zip(layers, angles, strict=True)]
    difference = compare(found, images, lambda image, rng: readings.snow(image, parameter, rng), numbers)
    # Motion blur rounds its weights to exact binary fractions, so flakes of either direction may differ by one grey level.
    assert difference.max() <= 2
    assert (difference > 0).mean() < 0.05 + 3 / difference.size


def test_snow_without_flakes_whitens_towards_one_and_a_half_times_grey_plus_one_half() -> None:
    images = torch.tensor([[100, 200, 50], [0, 0, 255]], dtype=torch.uint8)[:, :, None, None]
    out = weather.snow(images, (-9.0, 0.1, 1, 0.5, 8, 3, 0.8), make_field(2))[:, :, 0, 0]
    light = 1.5 * (0.299 * 100 + 0.587 * 200 + 0.114 * 50) + 127.5  # above every channel
    assert out[0].tolist() == [int(0.8 * level + 0.2 * light) for level in (100, 200, 50)]
    dim = 1.5 * 0.114 * 255 + 127.5  # below the blue, which stays
    assert out[1].tolist() == [int(0.2 * dim), int(0.2 * dim), 255]


def test_snow_falls_from_two_opposite_sides() -> None:
    out = weather.snow(torch.full((20, 1, 32, 32), 60, dtype=torch.uint8), strength("snow", 3, height=32, width=32), make_field(20))
    assert torch.equal(out, out.flip(2, 3))
    assert out.float().std() > 5


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_frost_is_its_definition_on_its_random_numbers(severity: int, shape: tuple[int, int, int]) -> None:
    images = make_images(6, *shape, seed=severity)
    keep, cover, _ = strength("frost", severity, height=shape[1], width=shape[2])
    parameter = keep, cover, 0.5
    pictures = [np.repeat(picture, 3, axis=0).transpose(1, 2, 0) for picture in make_images(3, 1, 140, 170)]
    found = weather.frost(torch.from_numpy(images), parameter, make_field(6), textures=FrostTextures(pictures)).numpy()
    numbers = [Replay(uniform=row) for row in make_field(6).uniform(3).double().numpy()]
    some = [picture[:, :, : shape[0]] for picture in pictures]  # all channels of these pictures are equal, so their grey is too
    difference = compare(found, images, lambda image, rng: readings.frost(image, parameter, rng, some), numbers)
    # Bilinear values halfway between two grey levels may be rounded either way.
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001


def test_frost_takes_the_pictures_it_is_given(tmp_path: Path) -> None:
    Image.fromarray(np.full((200, 200, 3), 100, np.uint8)).save(tmp_path / "flat.png")
    images = torch.from_numpy(make_images(4))
    textures = FrostTextures.from_folder(tmp_path)
    out = corrupt(images, "frost", 3, seed=0, indices=torch.arange(4), frost=textures)
    expected = np.minimum(0.9 * images.numpy().astype(float) + 0.4 * 100, 255).astype(np.uint8)
    assert np.array_equal(out.numpy(), expected)
    assert not torch.equal(corrupt(images, "frost", 3, seed=0, indices=torch.arange(4)), out)
    assert torch.equal(
        corrupt(images, "fog", 3, seed=0, indices=torch.arange(4), frost=textures),
        corrupt(images, "fog", 3, seed=0, indices=torch.arange(4)),
    )


def test_frost_refuses_pictures_smaller_than_the_images() -> None:
    textures = FrostTextures([np.zeros((100, 300, 3), np.uint8)])
    with pytest.raises(DataError, match=r"has 20 x 60 pixels at scale 0\.2, but the images have 32 x 32"):
        corrupt(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "frost", 1, seed=0, indices=torch.arange(1), frost=textures)


# ---------------------------------------------------------------- how far the weather reaches


def autocorrelations(layers: Float64) -> Float64:
    """(N, 8): of each (H, W) layer at lags 1, 2, 4 and 8, down and across, as products of deviations from the mean of all layers."""
    layers = layers - layers.mean()
    products = []
    for lag in (1, 2, 4, 8):
        products.append((layers[:, lag:] * layers[:, :-lag]).mean((1, 2)))
        products.append((layers[:, :, lag:] * layers[:, :, :-lag]).mean((1, 2)))
    out: Float64 = np.stack(products, axis=1) / layers.var()
    return out


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", ["fog", "frost", "snow"])
def test_neighbours_at_every_distance_are_as_alike_as_in_the_definition(name: str, severity: int) -> None:
    n, parameter = 200, strength(name, severity, height=32, width=32)
    images = np.full((n, 1, 32, 32), 90, np.uint8)
    options: dict[str, Any] = {}
    if name == "frost":
        pictures = [np.repeat(picture, 3, axis=0).transpose(1, 2, 0) for picture in make_images(5, 1, 400, 500)]
        options = {"textures": FrostTextures(pictures)}
    found = getattr(weather, name)(torch.from_numpy(images), parameter, make_field(n), **options).numpy()
    rng, extra = np.random.default_rng(severity), [[picture[:, :, :1] for picture in pictures]] if name == "frost" else []
    read = np.stack([getattr(readings, name)(image.transpose(1, 2, 0), parameter, rng, *extra) for image in images])
    ours, theirs = autocorrelations(found[:, 0].astype(float)), autocorrelations(read[:, :, :, 0].astype(float))
    error = np.sqrt((ours.var(0) + theirs.var(0)) / n)
    assert (np.abs(ours.mean(0) - theirs.mean(0)) / error).max() < 4
    # The layers' own spread, which the correlations leave out.
    spread = [layers.astype(float).std((1, 2)) for layers in (found[:, 0], read[:, :, :, 0])]
    assert abs(spread[0].mean() - spread[1].mean()) < 4 * np.sqrt((spread[0].var() + spread[1].var()) / n)
