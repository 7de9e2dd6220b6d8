"""Corruptions that blur."""

from __future__ import annotations

from torch import Tensor

from bsd_core.robustness.pixels import to_uint8
from bsd_core.robustness.random_fields import RandomField
from bsd_core.robustness.separable import apply_separable, gaussian_blur_matrix


def gaussian_blur(images: Tensor, sigma: float, field: RandomField) -> Tensor:
    """A Gaussian filter of spread sigma pixels, border replicated, cut at 4 sigma."""
    rows, columns = (gaussian_blur_matrix(size, sigma) for size in images.shape[2:])
    return to_uint8(apply_separable(images.double() / 255.0, rows, columns))
