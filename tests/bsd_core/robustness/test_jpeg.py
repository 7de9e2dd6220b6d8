from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from bsd_core.robustness.jpeg import CHROMINANCE, LUMINANCE, cosine_matrix, jpeg_round_trip, quantisation_table
from tests._dummies import UInt8, make_images
from tests.bsd_core.robustness.readings import digital as readings

SIZES = [(1, 1), (2, 2), (3, 5), (4, 4), (8, 8), (10, 18), (13, 9), (16, 16), (31, 33), (32, 32), (1, 40), (40, 1)]


def make_hard_images(channels: int, height: int, width: int) -> UInt8:
    """Natural-like images, noise, and black and white in checks and at random: what overshoots most."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2, channels, height, width))
    checks = np.broadcast_to(255 * (np.add.outer(np.arange(height), np.arange(width)) % 2), (1, channels, height, width))
    extremes = 255 * rng.integers(0, 2, (2, channels, height, width))
    return np.concatenate([make_images(3, channels, height, width), noise, checks, extremes]).astype(np.uint8)


def pillow(images: UInt8, quality: int) -> UInt8:
    rng = np.random.default_rng(0)
    pictures = [readings.jpeg_compression(np.ascontiguousarray(image.transpose(1, 2, 0)), quality, rng) for image in images]
    return np.stack(pictures).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pixels_are_pillows_at_any_size(height: int, width: int, channels: int) -> None:
    images = make_hard_images(channels, height, width)
    for quality in (1, 7, 25, 40, 50, 58, 75, 80, 95, 100):
        assert np.array_equal(jpeg_round_trip(torch.from_numpy(images), quality).numpy(), pillow(images, quality)), f"{quality=}"


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_pillows_at_any_quality(channels: int) -> None:
    images = make_hard_images(channels, 24, 20)
    for quality in range(1, 101):
        assert np.array_equal(jpeg_round_trip(torch.from_numpy(images), quality).numpy(), pillow(images, quality)), f"{quality=}"


def test_pixels_of_large_images_are_pillows() -> None:
    images = make_images(2, 3, 224, 160)
    for quality in (7, 25):
        assert np.array_equal(jpeg_round_trip(torch.from_numpy(images), quality).numpy(), pillow(images, quality))


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 51, 75, 99, 100])
def test_tables_are_those_that_pillow_writes(quality: int) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", quality=quality)
    written = Image.open(buffer).quantization  # type: ignore[attr-defined]
    assert quantisation_table(LUMINANCE, quality).ravel().tolist() == list(written[0])
    assert quantisation_table(CHROMINANCE, quality).ravel().tolist() == list(written[1])


def test_the_transform_is_the_cosine_transform_to_the_precision_of_its_constants() -> None:
    k, x = np.mgrid[0:8, 0:8]
    cosines = np.where(k == 0, 1, np.sqrt(2) * np.cos((2 * x + 1) * k * np.pi / 16)) * 2**13
    assert np.abs(cosine_matrix() - cosines).max() < 1.5  # sums of up to four rounded constants
    assert np.array_equal(cosine_matrix(), np.rint(cosine_matrix()))


def test_a_flat_image_keeps_its_grey_level_where_the_steps_divide_it() -> None:
    # Quality 50: the first step is 16, so multiples of 2 grey levels above and below 128 are kept.
    levels = torch.arange(0, 256, 2, dtype=torch.uint8)
    images = levels.view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    assert torch.equal(jpeg_round_trip(images, 50), images)
