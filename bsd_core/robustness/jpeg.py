"""What baseline JPEG does to pixels, in batches: compress and decompress, bit for bit as libjpeg-turbo (and so Pillow) by default.

Entropy coding loses nothing and is left out. What is left is integer arithmetic that floats hold exactly: products of small integers below
2**24 in float32, the cosine transform's in float64, each followed by the rounding shift that the library makes at that point.

Source: ITU-T T.81 (the tables of Annex K); Loeffler, Ligtenberg & Moschytz, ICASSP 1989 (the transform); T.871 (the colours).
"""

from __future__ import annotations

import functools
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bsd_core.robustness.separable import apply_separable

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

LUMINANCE: Final = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE: Final = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
# Rows Y, Cb, Cr of R, G, B, and columns Cr, Cb of R, G, B, in units of 2**-16: float32 holds every sum.
_TO_YCC: Final = ((19595, 38470, 7471), (-11059, -21709, 32768), (32768, -27439, -5329))
_CR_TO_RED, _CB_TO_GREEN, _CR_TO_GREEN, _CB_TO_BLUE = (value / 2**16 for value in (91881, -22554, -46802, 116130))


def jpeg_round_trip(images: Tensor, quality: int) -> Tensor:
    """Compress at `quality` (1 to 100) with 4:2:0 colours, and decompress: (N, C, H, W) uint8 to the same, C = 1 or 3."""
    height, width = images.shape[2:]
    if images.shape[1] == 1:
        grey = _pad(images, 8).float().sub_(128)
        return _quantise(grey, _table(LUMINANCE, quality))[:, :, :height, :width].add_(128).to(torch.uint8)
    luma, chroma = _to_ycc(_pad(images, 16))
    luma = _quantise(luma, _table(LUMINANCE, quality))[:, 0, :height, :width]
    chroma = _quantise(_halve(chroma, height), _table(CHROMINANCE, quality))
    return _to_rgb(luma, _double(chroma, height, width))


def quantisation_table(base: tuple[tuple[int, ...], ...], quality: int) -> Int64:
    """(8, 8) steps: the standard's table, scaled as the Independent JPEG Group's library does, within 1 and 255."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    table: Int64 = np.clip((np.array(base, dtype=np.int64) * percent + 50) // 100, 1, 255)
    return table


@functools.lru_cache(maxsize=256)
def _table(base: tuple[tuple[int, ...], ...], quality: int) -> Tensor:
    return torch.from_numpy(quantisation_table(base, quality)).double()


def _pad(images: Tensor, unit: int) -> Tensor:
    """Repeat the last row and column until both sides are multiples of `unit`."""
    for dim in (2, 3):
        size = images.shape[dim]
        if size % unit:
            source = torch.arange(-(-size // unit) * unit, device=images.device).clamp_(max=size - 1)
            images = images.index_select(dim, source)
    return images


# ---------------------------------------------------------------- colours; all values are integers, less 128


def _to_ycc(images: Tensor) -> tuple[Tensor, Tensor]:
    """RGB grey levels -> Y (N, 1, H, W) and Cb, Cr (N, 2, H, W), float32 integers in [-128, 127]."""
    red, green, blue = images.float().unbind(1)
    luma, chroma = (images.new_empty((len(images), channels, *images.shape[2:]), dtype=torch.float32) for channels in (1, 2))
    for out, (of_red, of_green, of_blue) in zip((luma[:, 0], chroma[:, 0], chroma[:, 1]), _TO_YCC, strict=True):
        torch.mul(red, of_red / 2**16, out=out)
        out.add_(green, alpha=of_green / 2**16).add_(blue, alpha=of_blue / 2**16)
    luma.add_(0.5 - 128).floor_()
    chroma.add_(0.5 - 2**-16).floor_()  # a hair below one half, lest 127.5 become 128
    return luma, chroma


def _to_rgb(luma: Tensor, chroma: Tensor) -> Tensor:
    """The way back: (N, H, W) and (N, 2, H, W) -> (N, 3, H, W) uint8. The cast truncates, which is a floor here."""
    cb, cr = chroma.unbind(1)
    rounded = luma + 128.5
    out = luma.new_empty((len(luma), 3, *luma.shape[1:]), dtype=torch.uint8)
    out[:, 0] = torch.add(rounded, cr, alpha=_CR_TO_RED).clamp_(0, 255)
    # The two products first: each sum then stays below 2**24 units.
    out[:, 1] = torch.mul(cb, _CB_TO_GREEN).add_(cr, alpha=_CR_TO_GREEN).add_(rounded).clamp_(0, 255)
    out[:, 2] = rounded.add_(cb, alpha=_CB_TO_BLUE).clamp_(0, 255)
    return out


def _halve(chroma: Tensor, height: int) -> Tensor:
    """Means of 2 x 2 pixels, (N, 2, H, W) -> (N, 2, H / 2, W / 2); halves are rounded down and up in turn along a row."""
    n, channels, rows, columns = chroma.shape
    pairs = torch.from_numpy(np.repeat(np.eye(columns // 2), 2, axis=0)).to(chroma)
    sums = (chroma @ pairs).view(n, channels, rows // 2, 2, columns // 2).sum(3)
    bias = torch.tensor([1.0, 2.0], device=chroma.device).repeat(columns // 4)
    halved = sums.add_(bias).mul_(0.25).floor_()
    # Below the image the library repeats the last mean, not the last pixel.
    last = (height - 1) // 2
    halved[:, :, last + 1 :] = halved[:, :, last : last + 1]
    return halved


def _double(chroma: Tensor, height: int, width: int) -> Tensor:
    """Triangle-filtered up to the image's size, (N, 2, h, w) -> (N, 2, height, width)."""
    smooth = width > 4  # narrower colours are repeated
    rows, columns = (
        _triangle_matrix(chroma.shape[2], height, smooth=smooth),
        _triangle_matrix(chroma.shape[3], width, smooth=smooth),
    )
    bias = torch.tensor([8.0, 7.0], device=chroma.device).repeat((width + 1) // 2)[:width]
    return apply_separable(chroma, rows, columns).add_(bias).mul_(1 / 16).floor_()


@functools.lru_cache(maxsize=256)
def _triangle_matrix(size_in: int, size_out: int, *, smooth: bool) -> Float64:
    """(size_out, size_in) weights in quarters: 3 for the nearer sample, 1 for the next on the other side, inside the image."""
    matrix = np.zeros((size_out, size_in))
    for row in range(size_out):
        near = row // 2
        far = min(max(near + (1 if row % 2 else -1), 0), (size_out - 1) // 2) if smooth else near
        matrix[row, near] += 3
        matrix[row, far] += 1
    return matrix


# ---------------------------------------------------------------- the cosine transform


@functools.cache
def cosine_matrix() -> Float64:
    """(8, 8) matrix of the transform, in units of 2**-13: row k is about 2**13 sqrt(2) cos((2 x + 1) k pi / 16).

    Its integers are sums of the twelve rounded constants of Loeffler et al.'s flow graph, so some differ by one from the rounded cosine.
    """

    def fixed(value: float) -> int:
        return round(value * 2**13)

    x = np.eye(8, dtype=np.int64)
    even, odd = x[:4] + x[:3:-1], x[3::-1] - x[4:]  # odd: from the middle outwards
    outer, inner = even[0] - even[3], even[1] - even[2]
    rotated = (outer + inner) * fixed(0.541196100)
    both = odd.sum(0) * fixed(1.175875602)
    ends = (odd[0] + odd[3]) * fixed(-0.899976223)
    middles = (odd[1] + odd[2]) * fixed(-2.562915447)
    evens = (odd[0] + odd[2]) * fixed(-1.961570560) + both
    odds = (odd[1] + odd[3]) * fixed(-0.390180644) + both
    return np.stack(
        [
            (even[0] + even[1] + even[2] + even[3]) * 2**13,
            odd[3] * fixed(1.501321110) + ends + odds,
            rotated + outer * fixed(0.765366865),
            odd[2] * fixed(3.072711026) + middles + evens,
            (even[0] - even[1] - even[2] + even[3]) * 2**13,
            odd[1] * fixed(2.053119869) + middles + odds,
            rotated - inner * fixed(1.847759065),
            odd[0] * fixed(0.298631336) + ends + evens,
        ]
    ).astype(np.float64)


def _quantise(planes: Tensor, table: Tensor) -> Tensor:
    """Transform, round to multiples of the steps, transform back: (N, C, H, W) float32 integers, sides multiples of 8, in [-128, 127].

    The planes are held as (8, the rest, 8), rows within a block first, columns within a block last: both directions of the transform are
    then plain matrix products.
    """
    n, channels, height, width = planes.shape
    cosines = torch.from_numpy(cosine_matrix()).to(planes.device)
    # Quotients that end in one half are rounded away from zero; a millionth more, and rounding to even does so.
    inverse = ((1 + 2**-20) / 8 / table).to(planes.device).repeat(1, width // 8)[:, None]
    steps = table.to(planes.device).repeat(1, width // 8)[:, None]

    x = planes.reshape(n * channels * (height // 8), 8, width).transpose(0, 1).to(torch.float64, memory_format=torch.contiguous_format)
    x = _round(x.view(-1, 8) @ (cosines.T * 2**-11))
    x = _round((cosines * 2**-15) @ x.view(8, -1))  # 8 times the coefficients
    x = x.view(8, -1, width).mul_(inverse).round_().mul_(steps)
    x = _round((cosines.T * 2**-11) @ x.view(8, -1))
    x = _round(x.view(-1, 8) @ (cosines * 2**-18)).clamp_(-128, 127)
    return x.view(8, -1, width).transpose(0, 1).to(torch.float32, memory_format=torch.contiguous_format).view(planes.shape)


def _round(x: Tensor) -> Tensor:
    """Halves up, in place."""
    return x.add_(0.5).floor_()
