from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from bsd_core.config import AugmentConfig
from bsd_core.data.augment import Normaliser, random_crop_and_flip
from tests._dummies import UInt8, make_images


def augment(images: UInt8, *, crop_padding: int = 0, flip: bool = False, seed: int = 0) -> UInt8:
    config = AugmentConfig(crop_padding=crop_padding, flip=flip)
    out: UInt8 = random_crop_and_flip(torch.from_numpy(images), config, torch.Generator().manual_seed(seed)).numpy()
    return out


def views(image: UInt8, padding: int, flip: bool) -> dict[bytes, tuple[int, int, bool]]:
    """Every crop of the zero-padded (C, H, W) image, mirrored or not, by its bytes."""
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    found = {}
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            crop = padded[:, top : top + height, left : left + width]
            found[np.ascontiguousarray(crop).tobytes()] = (top, left, False)
            if flip:
                found[np.ascontiguousarray(crop[:, :, ::-1]).tobytes()] = (top, left, True)
    return found


@pytest.mark.parametrize(("padding", "flip"), [(2, True), (1, False), (0, True)])
@pytest.mark.parametrize(("channels", "height", "width"), [(3, 8, 8), (1, 8, 8), (3, 6, 9)])
def test_every_augmented_image_is_a_crop_of_its_own_padded_image(padding: int, flip: bool, channels: int, height: int, width: int) -> None:
    images = make_images(40, channels, height, width)
    out = augment(images, crop_padding=padding, flip=flip)
    assert out.shape == images.shape
    assert out.dtype == np.uint8
    for before, after in zip(images, out, strict=True):
        assert np.ascontiguousarray(after).tobytes() in views(before, padding, flip)


def test_all_places_and_both_sides_come_up_equally_often() -> None:
    image = make_images(1, 3, 8, 8)
    known = views(image[0], 1, flip=True)
    assert len(known) == 18
    out = augment(np.repeat(image, 3600, 0), crop_padding=1, flip=True)
    counts = dict.fromkeys(known.values(), 0)
    for after in out:
        counts[known[np.ascontiguousarray(after).tobytes()]] += 1
    # 3600 draws over 18 views: 200 each, with a spread of sqrt(200 * 17 / 18) = 13.7; chi-square of 17 degrees passes 40.8 once in 1000.
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 40.8


def test_flips_are_not_tied_to_the_place_of_the_crop() -> None:
    image = make_images(1, 1, 8, 8)
    known = views(image[0], 1, flip=True)
    drawn = [known[np.ascontiguousarray(after).tobytes()] for after in augment(np.repeat(image, 1000, 0), crop_padding=1, flip=True)]
    assert len({place for place in drawn if place[2]}) == len({place for place in drawn if not place[2]}) == 9


def test_without_augmentation_images_stay_as_they_are() -> None:
    images = make_images(5)
    assert np.array_equal(augment(images), images)


def test_equal_generators_augment_equally_and_the_input_is_left_alone() -> None:
    images = make_images(20)
    before = images.copy()
    first, again, other = (augment(images, crop_padding=4, flip=True, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(images, before)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_normaliser_has_the_mean_and_spread_of_the_pixels(channels: int) -> None:
    images = make_images(30, channels, 8, 6)
    normaliser = Normaliser.fit(torch.from_numpy(images))
    scaled = images / 255
    assert normaliser.mean.numpy() == pytest.approx(scaled.mean((0, 2, 3)), rel=1e-6)
    assert normaliser.std.numpy() == pytest.approx(scaled.std((0, 2, 3)), rel=1e-6)


def test_normalised_training_images_have_mean_zero_and_spread_one() -> None:
    images = torch.from_numpy(make_images(30))
    out = Normaliser.fit(images)(images)
    assert out.dtype == torch.float32
    assert out.mean((0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert out.std((0, 2, 3), correction=0).tolist() == pytest.approx([1, 1, 1], rel=1e-5)


def test_normalising_is_arithmetic_on_each_channel() -> None:
    normaliser = Normaliser(mean=torch.tensor([0.2, 0.5, 0.0]), std=torch.tensor([0.5, 0.25, 1.0]))
    pixels = torch.tensor([51, 255, 102], dtype=torch.uint8).reshape(1, 3, 1, 1)
    # (51/255 - 0.2) / 0.5 = 0, (1 - 0.5) / 0.25 = 2, 102/255 = 0.4
    assert normaliser(pixels).flatten().tolist() == pytest.approx([0, 2, 0.4], abs=1e-6)


def test_a_constant_channel_stays_finite() -> None:
    images = torch.zeros(3, 3, 4, 4, dtype=torch.uint8)
    images[:, 0] = 255
    normaliser = Normaliser.fit(images)
    assert normaliser.mean.tolist() == [1, 0, 0]
    out: Tensor = normaliser(images)
    assert out.abs().max() == pytest.approx(0, abs=1e-4)


def test_the_normaliser_moves_as_a_whole() -> None:
    moved = Normaliser.fit(torch.from_numpy(make_images(3))).to(torch.device("meta"))
    assert moved.mean.device.type == "meta"
    assert moved.std.device.type == "meta"
