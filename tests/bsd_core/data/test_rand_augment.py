from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from bsd_core.data.rand_augment import OPERATIONS, apply_operations, rand_augment
from tests._dummies import UInt8, make_images


def applied(images: UInt8, name: str, strength: float) -> UInt8:
    operations = torch.full((len(images),), OPERATIONS.index(name))
    out: UInt8 = apply_operations(torch.from_numpy(images), operations, torch.full((len(images),), strength)).numpy()
    return out


def nearest(image: UInt8, source: Callable[[float, float], tuple[float, float]]) -> UInt8:
    """Pixel by pixel: (C, H, W) with each pixel from where `source` says, both counted from the centre, 0 from outside."""
    _, height, width = image.shape
    out = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            x, y = source(column - (width - 1) / 2, row - (height - 1) / 2)
            from_column, from_row = int(np.floor(x + width / 2)), int(np.floor(y + height / 2))
            if 0 <= from_column < width and 0 <= from_row < height:
                out[:, row, column] = image[:, from_row, from_column]
    return out


PILLOW: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "auto_contrast": lambda image, s: ImageOps.autocontrast(image),
    "brightness": lambda image, s: ImageEnhance.Brightness(image).enhance(1 + 0.9 * s),
    "contrast": lambda image, s: ImageEnhance.Contrast(image).enhance(1 + 0.9 * s),
    "saturation": lambda image, s: ImageEnhance.Color(image).enhance(1 + 0.9 * s),
    "posterize": lambda image, s: ImageOps.posterize(image, 8 - round(4 * abs(s))),
    "solarize": lambda image, s: ImageOps.solarize(image, round(256 * (1 - abs(s)))),
}


@pytest.mark.parametrize("name", PILLOW)
@pytest.mark.parametrize("strength", [1.0, 0.5, -0.5, -1.0, 0.25])
def test_colour_operations_are_pillows(name: str, strength: float) -> None:
    images = make_images(4, height=16, width=16) // 2 + 40  # room for the contrast to grow
    for image, ours in zip(images, applied(images, name, strength), strict=True):
        theirs = np.asarray(PILLOW[name](Image.fromarray(image.transpose(1, 2, 0)), strength)).transpose(2, 0, 1)
        assert np.abs(ours.astype(int) - theirs).max() <= 1  # Pillow cuts where we round


@pytest.mark.parametrize(("name", "strength"), [("shear_x", 1.0), ("shear_x", -0.4), ("shear_y", 0.7), ("shear_y", -1.0)])
@pytest.mark.parametrize("size", [(8, 8), (7, 10)])
def test_shears_move_rows_or_columns_around_the_centre(name: str, strength: float, size: tuple[int, int]) -> None:
    images = make_images(2, 3, *size)
    for image, ours in zip(images, applied(images, name, strength), strict=True):
        if name == "shear_x":
            expected = nearest(image, lambda x, y: (x + 0.3 * strength * y, y))
        else:
            expected = nearest(image, lambda x, y: (x, y + 0.3 * strength * x))
        assert (ours == expected).all(0).mean() > 0.96  # float32 against float64 where the source is halfway between two pixels


@pytest.mark.parametrize("strength", [1.0, 0.5, -0.8])
def test_rotation_is_pillows_counter_clockwise(strength: float) -> None:
    image = make_images(1)[0]
    theirs = np.asarray(Image.fromarray(image.transpose(1, 2, 0)).rotate(30 * strength)).transpose(2, 0, 1)
    assert (applied(image[None], "rotate", strength)[0] == theirs).all(0).mean() > 0.99


@pytest.mark.parametrize(("strength", "pixels"), [(1.0, 9), (0.5, 5), (-0.5, -5), (0.0, 0)])  # 20 * 150/331 = 9.06
def test_translation_is_a_roll_with_zeros_for_what_comes_in(strength: float, pixels: int) -> None:
    images = make_images(3, 3, 20, 20)
    for name, axis in (("translate_x", 3), ("translate_y", 2)):
        expected = np.roll(images, pixels, axis)
        incoming = slice(0, pixels) if pixels >= 0 else slice(pixels, None)
        np.moveaxis(expected, axis, 0)[incoming] = 0
        assert np.array_equal(applied(images, name, strength), expected)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "auto_contrast"])
def test_a_strength_of_zero_changes_nothing(name: str, channels: int) -> None:
    images = make_images(5, channels, 9, 14)
    assert np.array_equal(applied(images, name, 0.0), images)


def test_auto_contrast_leaves_flat_channels_alone() -> None:
    images = np.full((2, 3, 4, 4), 60, np.uint8)
    images[:, 1, 0, 0] = 80
    out = applied(images, "auto_contrast", 1.0)
    assert np.array_equal(out[:, [0, 2]], images[:, [0, 2]])
    assert set(np.unique(out[:, 1])) == {0, 255}


@pytest.mark.parametrize("name", OPERATIONS)
def test_grey_images_are_the_grey_channel_of_grey_rgb_images(name: str) -> None:
    grey = make_images(5, 1, 8, 8)
    rgb = np.repeat(grey, 3, axis=1)
    alone, threefold = applied(grey, name, 0.8), applied(rgb, name, 0.8)
    assert np.abs(threefold.astype(int) - alone).max() <= 1
    if name == "saturation":
        assert np.array_equal(alone, grey)


def test_each_image_has_its_own_operation() -> None:
    images = np.repeat(make_images(1), len(OPERATIONS), 0)
    together = apply_operations(torch.from_numpy(images), torch.arange(len(OPERATIONS)), torch.full((len(OPERATIONS),), 0.6)).numpy()
    for code, name in enumerate(OPERATIONS):
        assert np.array_equal(together[code], applied(images[:1], name, 0.6)[0]), name


@pytest.mark.parametrize("magnitude", [4, 10])
def test_operations_and_signs_come_up_equally_often(magnitude: int) -> None:
    image = make_images(1, 3, 16, 16) // 2 + 30
    names: dict[bytes, set[tuple[str, int]]] = {}
    for name in OPERATIONS:
        for sign in (-1, 1):
            names.setdefault(np.ascontiguousarray(applied(image, name, sign * magnitude / 10)).tobytes(), set()).add((name, sign))
    assert len(names) == 2 * len(OPERATIONS) - 4  # four operations have no sign
    n = 4800
    out = rand_augment(torch.from_numpy(image).expand(n, -1, -1, -1), magnitude, torch.Generator().manual_seed(0), n_operations=1)
    counts = dict.fromkeys(names, 0)
    for view in out.numpy():
        counts[np.ascontiguousarray(view).tobytes()] += 1
    # 200 for each operation and sign; chi-square of 19 degrees passes 43.8 once in 1000.
    assert sum((counts[key] - 200 * len(names[key])) ** 2 / (200 * len(names[key])) for key in names) < 43.8


def test_two_operations_follow_each_other() -> None:
    images = torch.from_numpy(make_images(30))
    generator = torch.Generator().manual_seed(0)
    twice = rand_augment(rand_augment(images, 6, generator, n_operations=1), 6, generator, n_operations=1)
    assert torch.equal(rand_augment(images, 6, torch.Generator().manual_seed(0)), twice)
