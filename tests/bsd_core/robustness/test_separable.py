from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from bsd_core.robustness.separable import box_resize_matrix, gaussian_blur_matrix


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
