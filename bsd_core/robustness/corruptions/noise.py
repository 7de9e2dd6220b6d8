"""Corruptions that change every value by itself: normal, Poisson, salt-and-pepper and multiplicative noise.

A value's noise does not depend on its neighbours. Three of the four draw from laws in 65,536 steps of equal probability (see
`RandomField.halves`); impulses are drawn from 32 bits. CPU and GPU give the same pixels.

Source: Hendrycks & Dietterich, ICLR 2019; salt and pepper by value, not by pixel, as scikit-image's `random_noise`.
"""

from __future__ import annotations

import functools
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bsd_core.robustness.random_fields import RandomField

_COLUMNS: Final = 256  # of an alias table; one a grey level


def gaussian_noise(images: Tensor, sigma: float, field: RandomField) -> Tensor:
    """x + N(0, sigma) for every value, x in [0, 1]."""
    noise = field.normal(images[0].numel()).view(images.shape)
    return _truncate(noise.mul_(255.0 * sigma).add_(images))


def speckle_noise(images: Tensor, sigma: float, field: RandomField) -> Tensor:
    """x + x N(0, sigma) for every value, x in [0, 1]."""
    noise = field.normal(images[0].numel()).view(images.shape)
    return _truncate(noise.mul_(sigma).add_(1.0).mul_(images))


def impulse_noise(images: Tensor, amount: float, field: RandomField) -> Tensor:
    """A share `amount` of the values is replaced, half of them by 0 and half by 255 (a value can be what it was before)."""
    bits = field.bits(images[0].numel()).view(images.shape)
    tail = round(amount / 2 * 2**32)
    # Products and maxima of bytes: filling where a random mask is set costs a mispredicted branch a value.
    kept = torch.ge(bits, tail - 2**31, out=torch.empty_like(images, memory_format=torch.contiguous_format))
    salt = torch.ge(bits, 2**31 - tail, out=torch.empty_like(kept))
    return torch.maximum(kept.mul_(images), salt.mul_(255))


def shot_noise(images: Tensor, photons: float, field: RandomField) -> Tensor:
    """Poisson(photons x) / photons for every value, x in [0, 1]; few photons are much noise."""
    table = _shot_table(photons, images.device)
    draw = field.halves(images[0].numel()).view(images.shape)
    column = draw & (_COLUMNS - 1)
    draw >>= 8
    entry = table.index_select(0, images.to(torch.int32).mul_(_COLUMNS).add_(column).flatten()).view(images.shape)
    takes_alias = (entry >> 8).sub_(draw).bitwise_right_shift_(31)  # -1 where the draw is above the limit, else 0
    return column.add_(entry.bitwise_and_(255).bitwise_and_(takes_alias)).to(torch.uint8)  # modulo 256


def _truncate(levels: Tensor) -> Tensor:
    """Grey levels as floats to uint8, clipped and cut off. Overwrites `levels`; by way of int16, which is three times as fast."""
    return levels.clamp_(0.0, 255.0).to(torch.int16).to(torch.uint8)


@functools.lru_cache(maxsize=16)
def _shot_table(photons: float, device: torch.device) -> Tensor:
    """(65536,) int32 alias table of each grey level: 256 * limit + (alias - column) mod 256; a draw above the limit takes the alias."""
    limits, aliases = alias_table(shot_counts(photons))
    entries = limits * 256 + (aliases - np.arange(_COLUMNS)) % 256
    return torch.from_numpy(entries.astype(np.int32).ravel()).to(device)


def shot_counts(photons: float) -> npt.NDArray[np.int64]:
    """(256, 256): of 65,536 Poisson draws of each grey level (rows), how many become each grey level (columns).

    They are the differences of the rounded distribution function, so every share is exact within 2**-16, and what is rarer never occurs.
    """
    # The most photons that a value of this grey level or less stands for, after the cut; the last stands for any number.
    levels = (np.minimum(np.arange(np.ceil(photons) + 1) / photons, 1.0) * 255).astype(np.uint8)
    most = np.searchsorted(levels, np.arange(256), side="right") - 1.0
    most[255] = np.inf
    mean = torch.arange(256, dtype=torch.float64)[:, None] / 255 * photons
    at_most: npt.NDArray[np.float64] = torch.special.gammaincc(torch.from_numpy(most + 1).expand(256, -1), mean.expand(-1, 256)).numpy()
    edges = np.pad(np.rint(at_most * 2**16).astype(np.int64), ((0, 0), (1, 0)))
    return edges[:, 1:] - edges[:, :-1]


def alias_table(counts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Tables from which a row's law is drawn with one look-up (Walker, 1977; built by always filling the emptiest from the fullest).

    A draw of 16 bits is a column (the lower 8) and a height (the upper 8): it gives the column where height <= limit, else the alias.

    Args:
        counts: (R, 256) non-negative, each row sums to 65,536.

    Returns:
        limits (R, 256) in -1 to 255, and aliases (R, 256); of a row's 65,536 draws, exactly counts[row, k] give k.
    """
    rows = np.arange(len(counts))
    left = counts.copy()
    limits = np.full_like(counts, 255)
    aliases = np.tile(np.arange(_COLUMNS), (len(counts), 1))
    is_open = np.ones(counts.shape, dtype=bool)
    for _ in range(_COLUMNS - 1):
        emptiest = np.where(is_open, left, 2**17).argmin(axis=1)
        fullest = np.where(is_open, left, -1).argmax(axis=1)
        limits[rows, emptiest] = left[rows, emptiest] - 1
        aliases[rows, emptiest] = fullest
        left[rows, fullest] -= 256 - left[rows, emptiest]
        is_open[rows, emptiest] = False
    return limits, aliases
