from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from bsd_core.robustness.resampling import (
    Affine,
    affine_about_center,
    images_first,
    pixels_first,
    resample_affine,
    resample_perspective,
)
from tests._dummies import UInt8, make_images


def affine_of_pillow(images: UInt8, affine: Affine) -> UInt8:
    height, width = images.shape[2:]
    planes = [
        np.asarray(Image.fromarray(plane).transform((width, height), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR))
        for plane in images.reshape(-1, height, width)
    ]
    return np.stack(planes).reshape(images.shape)


def resampled(images: UInt8, affine: Affine) -> UInt8:
    x = torch.from_numpy(images)
    height, width = images.shape[2:]
    return images_first(resample_affine(pixels_first(x), affine, height=height, width=width), x.shape).numpy()


def test_pixels_first_and_back_is_the_same_image_and_the_last_row_is_black() -> None:
    images = torch.from_numpy(make_images(3, 3, 5, 4))
    pixels = pixels_first(images)
    assert pixels.shape == (21, 9)
    assert not pixels[20].any()
    assert torch.equal(images_first(pixels[:20], images.shape), images)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (8, 8), (24, 40)])
def test_an_affine_map_is_pillows_to_the_last_bit(shape: tuple[int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 3, *shape)).astype(np.uint8)
    rng = np.random.default_rng(1)
    for _ in range(40):
        degrees, scale, shear = rng.uniform(-180, 180), rng.uniform(0.4, 2.5), rng.uniform(-40, 40)
        affine = affine_about_center(height=shape[0], width=shape[1], degrees=degrees, scale=scale, shear=shear)
        assert np.array_equal(resampled(images, affine), affine_of_pillow(images, affine))


def test_whole_pixels_and_halves_are_exact() -> None:
    image = np.array([[[[10, 20, 40]]]], np.uint8)
    assert resampled(image, (1.0, 0.0, 1.0, 0.0, 1.0, 0.0)).ravel().tolist() == [20, 40, 0]
    # Half a pixel further on: means of neighbours; the last has no neighbour, and half a pixel beyond it nothing is left.
    assert resampled(image, (1.0, 0.0, 0.5, 0.0, 1.0, 0.0)).ravel().tolist() == [15, 30, 0]


@pytest.mark.parametrize(("degrees", "scale", "shear"), [(10, 1, 0), (0, 0.7, 0), (0, 1, -12), (33, 1.3, 7)])
def test_the_affine_map_is_the_inverse_of_scale_shear_and_rotation_about_the_old_centre(degrees: float, scale: float, shear: float) -> None:
    height, width = 24, 40
    a, s = math.radians(degrees), math.radians(shear)
    center = np.array([[1, 0, 20.5], [0, 1, 12.5], [0, 0, 1]])
    rotation = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    slant = np.array([[1, -math.sin(s), 0], [0, math.cos(s), 0], [0, 0, 1]])
    forward = center @ rotation @ slant @ np.diag([scale, scale, 1]) @ np.linalg.inv(center)
    found = affine_about_center(height=height, width=width, degrees=degrees, scale=scale, shear=shear)
    assert found == pytest.approx(np.linalg.inv(forward)[:2].ravel(), rel=1e-12, abs=1e-12)


def test_a_perspective_that_changes_nothing_or_moves_by_parts_of_a_pixel() -> None:
    images = torch.from_numpy(make_images(2, 3, 6, 9))
    pixels = pixels_first(images)
    assert torch.equal(resample_perspective(pixels, np.eye(3), height=6, width=9), pixels[:-1])
    row = pixels_first(torch.tensor([[[[0, 64, 128, 255]]]], dtype=torch.uint8))
    right = np.array([[1, 0, 0.25], [0, 1, 0], [0, 0, 1]])
    # A quarter of a pixel to the right: three quarters of a pixel and a quarter of its left neighbour, black before the first.
    expected = [0, 48, 112, math.floor(0.75 * 255 + 0.25 * 128 + 0.5)]
    assert resample_perspective(row, right, height=1, width=4).ravel().tolist() == expected
