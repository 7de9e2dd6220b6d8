from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from bsd_core.config import AugmentConfig
from bsd_core.data.augment import Normaliser, augment, cutout, random_crop_and_flip, random_resized_crop, strong
from tests._dummies import UInt8, make_images


def crop_and_flip(images: UInt8, *, crop_padding: int = 0, flip: bool = False, seed: int = 0) -> UInt8:
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
    out = crop_and_flip(images, crop_padding=padding, flip=flip)
    assert out.shape == images.shape
    assert out.dtype == np.uint8
    for before, after in zip(images, out, strict=True):
        assert np.ascontiguousarray(after).tobytes() in views(before, padding, flip)


def test_all_places_and_both_sides_come_up_equally_often() -> None:
    image = make_images(1, 3, 8, 8)
    known = views(image[0], 1, flip=True)
    assert len(known) == 18
    out = crop_and_flip(np.repeat(image, 3600, 0), crop_padding=1, flip=True)
    counts = dict.fromkeys(known.values(), 0)
    for after in out:
        counts[known[np.ascontiguousarray(after).tobytes()]] += 1
    # 3600 draws over 18 views: 200 each, with a spread of sqrt(200 * 17 / 18) = 13.7; chi-square of 17 degrees passes 40.8 once in 1000.
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 40.8


def test_flips_are_not_tied_to_the_place_of_the_crop() -> None:
    image = make_images(1, 1, 8, 8)
    known = views(image[0], 1, flip=True)
    drawn = [known[np.ascontiguousarray(after).tobytes()] for after in crop_and_flip(np.repeat(image, 1000, 0), crop_padding=1, flip=True)]
    assert len({place for place in drawn if place[2]}) == len({place for place in drawn if not place[2]}) == 9


def test_without_augmentation_images_stay_as_they_are() -> None:
    images = make_images(5)
    assert np.array_equal(crop_and_flip(images), images)


def test_equal_generators_augment_equally_and_the_input_is_left_alone() -> None:
    images = make_images(20)
    before = images.copy()
    first, again, other = (crop_and_flip(images, crop_padding=4, flip=True, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(images, before)


def test_crop_and_flip_alone_draw_nothing_more() -> None:
    images, config = torch.from_numpy(make_images(20)), AugmentConfig(crop_padding=4, flip=True)
    first, second = (torch.Generator().manual_seed(3) for _ in range(2))
    assert torch.equal(augment(images, config, first), random_crop_and_flip(images, config, second))
    assert torch.equal(first.get_state(), second.get_state())
    assert augment(images, AugmentConfig(), first) is images
    assert torch.equal(first.get_state(), second.get_state())


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8), (3, 9, 14)])
@pytest.mark.parametrize("crop", [{"crop_padding": 2}, {"resized_crop": 0.3}])
def test_all_together_keep_the_shape_and_follow_the_generator_alone(shape: tuple[int, int, int], crop: dict[str, int]) -> None:
    images = torch.from_numpy(make_images(12, *shape))
    before = images.clone()
    config = AugmentConfig(**crop, flip=True, cutout=4, rand_augment=7)
    torch.manual_seed(0)
    first = augment(images, config, torch.Generator().manual_seed(1))
    torch.manual_seed(1)
    again, other = (augment(images, config, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    assert first.shape == images.shape
    assert first.dtype == torch.uint8
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(images, before)


def test_every_place_of_the_cutout_comes_up_equally_often() -> None:
    n, side, height, width = 3600, 4, 6, 5
    out = cutout(torch.zeros(n, 1, height, width, dtype=torch.uint8), side, torch.tensor([9], dtype=torch.uint8), torch.Generator())
    counts: dict[bytes, int] = {}
    for y in range(height):  # the reference's loop: a centre, and half a side around it
        for x in range(width):
            expected = np.zeros((height, width), np.uint8)
            expected[max(0, y - 2) : min(height, y + 2), max(0, x - 2) : min(width, x + 2)] = 9
            counts[expected.tobytes()] = 0
    assert len(counts) == 30
    for image in out.numpy():
        counts[image.tobytes()] += 1
    # 120 each of 30 places; chi-square of 29 degrees passes 58.3 once in 1000.
    assert sum((count - 120) ** 2 / 120 for count in counts.values()) < 58.3


@pytest.mark.parametrize(("side", "largest"), [(1, 1), (3, 9), (50, 64)])
def test_a_cutout_is_at_most_its_square_and_at_most_the_image(side: int, largest: int) -> None:
    images = torch.zeros(400, 2, 8, 8, dtype=torch.uint8)
    holes = cutout(images, side, torch.tensor([1, 2], dtype=torch.uint8), torch.Generator())
    areas = (holes[:, 0] > 0).sum((1, 2))
    assert int(areas.max()) == largest
    assert int(areas.min()) >= 1
    assert torch.equal(holes[:, 1], 2 * holes[:, 0])  # one place for all channels


def test_a_cutout_normalises_to_zero() -> None:
    images = torch.from_numpy(make_images(40))
    normaliser = Normaliser.fit(images)
    config = AugmentConfig(cutout=100)  # covers everything: what is seen is the fill
    out = normaliser(augment(images, config, torch.Generator(), fill=normaliser.mean_pixel))
    assert bool((out.abs() <= 0.5 / 255 / normaliser.std[:, None, None] + 1e-5).all())
    assert torch.equal(augment(images, config, torch.Generator()), augment(images, config, torch.Generator(), fill=normaliser.mean_pixel))


def test_a_resized_crop_is_a_rectangle_of_the_published_areas_and_shapes() -> None:
    # Channel 0 grows 3 a column, channel 1 grows 3 a row: how fast they grow in the crop is the crop's share of width and height.
    size, n = 64, 2000
    ramp = 3 * torch.arange(size, dtype=torch.uint8)
    image = torch.stack([ramp.expand(size, size), ramp[:, None].expand(size, size)])
    out = random_resized_crop(image.expand(n, 2, size, size), 0.25, torch.Generator().manual_seed(0)).float()
    assert out.shape == (n, 2, size, size)
    width = (out[:, 0, 0, 56] - out[:, 0, 0, 8]) / (3 * 48)
    height = (out[:, 1, 56, 0] - out[:, 1, 8, 0]) / (3 * 48)
    ratio, area = width / height, width * height
    assert 0.24 < float(area.min()) < 0.27
    assert 0.95 < float(area.max()) <= 1.02
    assert 0.73 < float(ratio.min()) < 0.78
    assert 1.29 < float(ratio.max()) < 1.37
    assert float(ratio.log().mean()) == pytest.approx(0, abs=0.03)
    free = area < 0.74  # then even a ratio of 4/3 fits, and the area is uniform from 1/4 on: its mean is that of the interval
    assert float(area[free].mean()) == pytest.approx((0.25 + 0.74) / 2, abs=0.02)
    # The centre lies anywhere the rectangle fits: from half its width to the rest.
    centre = (out[:, 0, 0, 31] + out[:, 0, 0, 32]) / 2 / 3 + 0.5
    place = (centre / size - width / 2) / (1 - width)
    assert float(place[free].mean()) == pytest.approx(0.5, abs=0.03)
    assert float(place[free].std()) == pytest.approx(12**-0.5, abs=0.03)


def test_a_resized_crop_of_one_colour_stays_that_colour() -> None:
    images = torch.full((30, 3, 9, 14), 77, dtype=torch.uint8)
    assert torch.equal(random_resized_crop(images, 0.1, torch.Generator()), images)


def test_strong_views_add_rand_augment_and_keep_the_rest() -> None:
    assert strong(AugmentConfig(crop_padding=4, flip=True)) == AugmentConfig(crop_padding=4, flip=True, rand_augment=5)
    assert strong(AugmentConfig(rand_augment=8, cutout=4)) == AugmentConfig(rand_augment=8, cutout=4)


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
