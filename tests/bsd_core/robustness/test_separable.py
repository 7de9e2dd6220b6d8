from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy import ndimage

from bsd_core.robustness.separable import box_resize_matrix, clipped_zoom_matrix, gaussian_blur_matrix, gaussian_weights


@pytest.mark.parametrize("size", [1, 2, 7, 32])
@pytest.mark.parametrize(("sigma", "truncate"), [(0.4, 4.0), (1.0, 4.0), (3.0, 4.0), (0.7, 7.0)])
def test_the_blur_matrix_is_the_filter_of_scipy_with_replicated_edges(size: int, sigma: float, truncate: float) -> None:
    signal = np.random.default_rng(0).uniform(0, 1, size)
    expected = ndimage.gaussian_filter1d(signal, sigma, mode="nearest", truncate=truncate)
    assert gaussian_blur_matrix(size, sigma, truncate=truncate) @ signal == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("sizes", [(32, 30), (32, 20), (20, 32), (8, 5), (5, 8), (1, 1), (9, 9), (33, 21)])
def test_the_box_matrix_is_one_pass_of_pillow(sizes: tuple[int, int]) -> None:
    size_in, size_out = sizes
    row = np.random.default_rng(1).integers(0, 256, size_in).astype(np.uint8)
    expected = np.asarray(Image.fromarray(row[None]).resize((size_out, 1), Image.Resampling.BOX))[0]
    found = np.floor((box_resize_matrix(size_in, size_out) @ row + 2**21) / 2**22)
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("sigma", [0.05, 0.25, 0.4, 0.7, 1.0, 3.0])
def test_gaussian_weights_are_those_of_scipy_to_the_last_bit(sigma: float) -> None:
    impulse = np.zeros(41)
    impulse[20] = 1.0
    weights = gaussian_weights(sigma)
    expected = ndimage.gaussian_filter1d(impulse, sigma, mode="constant")[20:]
    assert list(weights) == expected[: len(weights)].tolist()
    assert not expected[len(weights) :].any()


# What zoom blur and snow use at any image size, less those of zoom blur that lie between others.
FACTORS = [*np.arange(1, 1.31, 0.01), *np.arange(1, 1.31, 0.03), 1.25, 1.75, 2.0, 2.25, 2.5, 3.0, 4.0, 4.5]


def zoom_of_scipy(signal: npt.NDArray[np.float64], factor: float) -> npt.NDArray[np.float64]:
    crop = math.ceil(len(signal) / factor)
    start = (len(signal) - crop) // 2
    drawn: npt.NDArray[np.float64] = ndimage.zoom(signal[start : start + crop], factor, order=1)
    trim = (len(drawn) - len(signal)) // 2
    return drawn[trim : trim + len(signal)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13, 28, 32, 33, 64, 96, 128, 224])
def test_the_zoom_matrix_is_the_zoom_of_scipy_cropped_and_trimmed(size: int) -> None:
    signal = np.random.default_rng(size).uniform(0, 1, size)
    for factor in map(float, FACTORS):
        assert clipped_zoom_matrix(size, factor) @ signal == pytest.approx(zoom_of_scipy(signal, factor), abs=1e-12)


def test_a_zoom_draws_out_no_fewer_pixels_than_it_needs() -> None:
    for size in range(1, 257):
        for factor in map(float, FACTORS):
            assert round(math.ceil(size / factor) * factor) >= size


def test_a_zoom_ends_on_the_last_pixel_where_scipy_rounds_beyond_it() -> None:
    signal = np.arange(1.0, 27.0)
    expected = zoom_of_scipy(signal, 1.75)
    assert expected[-1] == 0  # at this size and factor
    found = clipped_zoom_matrix(26, 1.75) @ signal
    assert found[:-1] == pytest.approx(expected[:-1])
    assert found[-1] == pytest.approx(20)  # the crop is pixels 5 to 19 of 26, counted from 0
