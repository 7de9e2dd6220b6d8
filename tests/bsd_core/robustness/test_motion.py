from __future__ import annotations

import numpy as np
import pytest
import torch

from bsd_core.robustness.motion import motion_blur, trail_offsets, trail_weights
from bsd_core.robustness.pixels import blocks
from tests._dummies import UInt8, load_shared_golden, make_images
from tests.bsd_core.robustness.readings.blur import motion_blur_at

KERNELS = [(6, 1), (6, 2), (9, 2.5), (20, 15), (2.5, 0.6), (0, 1)]


def blur(images: UInt8, radius: float, sigma: float, degrees: list[float]) -> UInt8:
    out: UInt8 = motion_blur(torch.from_numpy(images), radius=radius, sigma=sigma, degrees=torch.tensor(degrees)).numpy()
    return out


def test_motion_blur_is_within_one_grey_level_of_imagemagick() -> None:
    golden = load_shared_golden("motion_blur_fixed_angle")
    images = np.ascontiguousarray(golden["images"].transpose(0, 3, 1, 2))
    for (radius, sigma, angle), output in zip(golden["params"], golden["outputs"], strict=True):
        difference = np.abs(blur(images, radius, sigma, [angle] * len(images)).astype(int) - output.transpose(0, 3, 1, 2))
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 32, 32), (3, 8, 8), (1, 1, 1), (3, 9, 20), (1, 3, 1)])
@pytest.mark.parametrize(("radius", "sigma"), KERNELS)
def test_motion_blur_is_the_sum_over_its_taps(radius: float, sigma: float, shape: tuple[int, int, int]) -> None:
    degrees = [0.0, 33.3, -45.0, 45.0, -90.0, 90.0, 180.0, -135.0, 210.0, 33.3]
    images = make_images(len(degrees), *shape)
    found = blur(images, radius, sigma, degrees).astype(int)
    expected = [motion_blur_at(image.transpose(1, 2, 0), radius, sigma, angle) for image, angle in zip(images, degrees, strict=True)]
    difference = np.abs(found - np.stack(expected).transpose(0, 3, 1, 2))
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.01 or (difference > 0).sum() <= 2


def test_an_edge_is_drawn_out_to_the_left_at_0_degrees_and_upward_at_90() -> None:
    image = np.zeros((1, 1, 9, 9), np.uint8)
    image[0, 0, 4, 4] = 255
    # weights 1, exp(-1/2), exp(-2) over their sum: the pixel at (row, column) takes most from itself and less from those that follow
    trail = [int(255 * w / (1 + np.exp(-0.5) + np.exp(-2))) for w in (np.exp(-2), np.exp(-0.5), 1)]
    assert blur(image, 1, 1, [0.0])[0, 0, 4].tolist() == [0, 0, *trail, 0, 0, 0, 0]
    assert blur(image, 1, 1, [90.0])[0, 0, :, 4].tolist() == [0, 0, *trail, 0, 0, 0, 0]


def test_plain_areas_keep_each_grey_level() -> None:
    images = np.tile(np.arange(256, dtype=np.uint8)[:, None, None, None], (1, 1, 4, 4))
    for radius, sigma in KERNELS:
        assert np.array_equal(blur(images, radius, sigma, np.linspace(-180, 180, 256).tolist()), images)


def test_images_do_not_depend_on_their_batch() -> None:
    n = 40
    images, degrees = make_images(n), np.random.default_rng(0).uniform(-180, 180, n)
    assert len(list(blocks(torch.from_numpy(np.tile(images, (3, 1, 1, 1)))))) > 1
    whole = blur(np.tile(images, (3, 1, 1, 1)), 8, 2, np.tile(degrees, 3).tolist())
    alone = np.concatenate([blur(images[k : k + 1], 8, 2, [degrees[k]]) for k in range(n)])
    assert np.array_equal(whole, np.tile(alone, (3, 1, 1, 1)))
    reordered = torch.from_numpy(images).to(memory_format=torch.channels_last)
    assert np.array_equal(motion_blur(reordered, radius=8, sigma=2, degrees=torch.from_numpy(degrees)).numpy(), alone)


@pytest.mark.parametrize(("radius", "sigma"), KERNELS)
def test_weights_are_whole_units_that_sum_to_one(radius: float, sigma: float) -> None:
    weights = np.array(trail_weights(radius, sigma))
    units = weights * 2**16
    assert np.array_equal(units, np.rint(units))
    assert units.sum() == 2**16
    exact = np.exp(-(np.arange(2 * np.ceil(radius) + 1) ** 2) / (2 * sigma**2))
    assert weights[1:] == pytest.approx((exact / exact.sum())[1 : len(weights)], abs=2**-17)
    assert exact[len(weights) :].sum() / exact.sum() * 255 < 0.01  # grey levels that the taps left out may add


def test_offsets_go_the_nearest_way_along_the_line() -> None:
    x, y = trail_offsets(np.array([0.0, 90.0, -45.0, 180.0]), radius=2, n=5)
    assert x.tolist() == [[0, 1, 2, 3, 4], [0, 0, 0, 0, 0], [0, 1, 1, 2, 3], [0, -1, -2, -3, -4]]
    assert y.tolist() == [[0, 0, 0, 0, 0], [0, 1, 2, 3, 4], [0, -1, -1, -2, -3], [0, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("radius", "sigma", "n", "message"),
    [
        (-1, 1, 2, "radius is at least 0"),
        (1, 0, 2, "sigma is above 0"),
        (1, 1, 3, r"one angle an image, shape \(2,\), but got \(3,\)"),
    ],
)
def test_impossible_motion_is_refused(radius: float, sigma: float, n: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        blur(make_images(2), radius, sigma, [0.0] * n)


def test_no_images_stay_no_images() -> None:
    assert blur(make_images(0), 6, 1, []).shape == (0, 3, 32, 32)
