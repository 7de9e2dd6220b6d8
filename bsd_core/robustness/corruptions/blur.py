"""Corruptions that blur.

Sums are either added in the order of the reference, in float64, or made of weights so short that every partial sum is exact: grey levels
have 8 bits, weights at most 16 for float32 and 40 for float64. Both ways a value is the same in any batch and on any device, also where it
falls on a whole grey level and truncation hangs on its last bit.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from bsd_core.robustness import motion
from bsd_core.robustness.pixels import blocks, rows_of_plane
from bsd_core.robustness.random_fields import RandomField
from bsd_core.robustness.separable import apply_separable, clipped_zoom_matrix, gaussian_weights

Float64 = npt.NDArray[np.float64]

_FLOAT32_UNITS = 2**16
_FLOAT64_UNITS = 2**40
_MOST_PIXELS = 2**16  # of images whose zoom blur is one matrix: some 70 MB at 224 x 224


def gaussian_blur(images: Tensor, sigma: float, field: RandomField) -> Tensor:
    """A Gaussian filter of spread sigma pixels, border replicated, cut at 4 sigma; rows first, float64: bit for bit as SciPy's."""
    return blur_separably(images, gaussian_weights(sigma))


def blur_separably(images: Tensor, weights: Sequence[float]) -> Tensor:
    """A symmetric filter along columns, then along rows, border replicated, truncated: (N, C, H, W) uint8 -> uint8.

    Args:
        images: uint8.
        weights: of the middle and of one side, outwards; they sum to 1 with the other side.
    """
    if len(weights) == 1:
        return images.clone()
    out = torch.empty_like(images, memory_format=torch.contiguous_format)
    for rows in blocks(images):
        out[rows] = _blur_block(images[rows].contiguous(), weights)
    return out


def _blur_block(images: Tensor, weights: Sequence[float]) -> Tensor:
    height, width = images.shape[2:]
    reach = len(weights) - 1
    # A divisor on the device, because CUDA multiplies by the reciprocal of a plain number, which is another last bit.
    x = images.double().div_(torch.full((), 255.0, dtype=torch.float64, device=images.device))
    # Columns keep their padding, so that a shift in either direction is one shift of a flat plane; what falls between rows is thrown away.
    plane = pad(x, (reach, reach, reach, reach), mode="replicate").flatten(2)
    stride = width + 2 * reach
    vertical = _correlate_line(plane, weights, stride)
    blurred = _correlate_line(vertical, weights, 1)
    return rows_of_plane(blurred, height, width, stride).mul(255.0).to(torch.uint8)


def _correlate_line(x: Tensor, weights: Sequence[float], step: int) -> Tensor:
    """sum_j weights[|j|] x[i + j step] along the last axis, where all terms exist. The order is SciPy's: centre, then the far pairs first.

    A product and its sum are rounded one by one: a fused multiply-add would give other last bits.
    """
    reach = len(weights) - 1
    middle, length = reach * step, x.shape[-1] - 2 * reach * step
    total = x[..., middle : middle + length] * weights[0]
    pair = torch.empty_like(total)
    for j in range(reach, 0, -1):
        torch.add(x[..., middle - j * step :][..., :length], x[..., middle + j * step :][..., :length], out=pair)
        total.add_(pair.mul_(weights[j]))
    return total


def defocus_blur(images: Tensor, parameter: tuple[float, float], field: RandomField) -> Tensor:
    """A disk of `radius` pixels, itself smoothed by a small Gaussian of spread `alias`; border reflected without the edge (c b | a b c)."""
    quadrant = defocus_weights(*parameter)
    dtype = torch.float32 if parameter[0] < 1 else torch.float64
    out = torch.empty_like(images, memory_format=torch.contiguous_format)
    for rows in blocks(images):
        out[rows] = _correlate_even(images[rows].contiguous(), quadrant, dtype)
    return out


@functools.lru_cache(maxsize=64)
def defocus_weights(radius: float, alias: float) -> Float64:
    """The quadrant of the kernel from its centre to the last weight that is not 0: (r + 1, r + 1), symmetric in all four directions.

    A disk's weights are all but equal, so sums on a whole grey level are common (each fifth for a disk of five pixels), and the kernel's
    float32 rounding decides them in the reference: 2**-40 keeps it. Below radius 1 the disk is a pixel and the kernel a Gaussian: 2**-16
    with a sum of 1 does, since the kernels in use add up to a little over 1, so that plain areas stay.
    """
    kernel = _defocus_kernel(radius, alias)
    middle = len(kernel) // 2
    quadrant = kernel[middle:, middle:].astype(np.float64)
    if radius < 1:
        units = np.rint(quadrant[:2, :2] * _FLOAT32_UNITS) / _FLOAT32_UNITS
        units[0, 0] += 1 - (units * np.outer([1, 2], [1, 2])).sum()
        return units
    units = np.rint(quadrant * _FLOAT64_UNITS)
    side = np.flatnonzero(units.any(axis=0))[-1] + 1
    return units[:side, :side] / _FLOAT64_UNITS


def _defocus_kernel(radius: float, alias: float) -> npt.NDArray[np.float32]:
    """In float32 as OpenCV's GaussianBlur; the kernel's own border is reflected, so one that the disk fills sums to more than 1."""
    side = np.arange(-8, 9) if radius <= 8 else np.arange(-radius, radius + 1)
    disk = (side**2 + side[:, None] ** 2 <= radius**2).astype(np.float32)
    disk /= disk.sum()
    reach = 1 if radius <= 8 else 2
    exact = np.exp(-(np.arange(reach + 1) ** 2) / (2 * alias**2))
    weights = (exact / (2 * exact.sum() - exact[0])).astype(np.float32)
    for axis in (1, 0):
        margin = [(reach, reach) if a == axis else (0, 0) for a in (0, 1)]
        lines = np.moveaxis(np.pad(disk, margin, mode="reflect"), axis, -1)
        size = lines.shape[-1] - 2 * reach
        total = lines[:, reach : reach + size] * weights[0]
        for j in range(1, reach + 1):
            total += (lines[:, reach - j :][:, :size] + lines[:, reach + j :][:, :size]) * weights[j]
        disk = np.moveaxis(total, -1, axis)
    return disk


def _correlate_even(images: Tensor, quadrant: Float64, dtype: torch.dtype) -> Tensor:
    """Correlation with a kernel that is even in both directions, truncated; pixels at equal distances are added before the product."""
    height, width = images.shape[2:]
    reach = len(quadrant) - 1
    rows, columns = (torch.from_numpy(_reflected(size, reach)).to(images.device) for size in (height, width))
    bordered = images.index_select(2, rows).index_select(3, columns)
    plane = bordered.to(dtype).flatten(2)
    stride = width + 2 * reach
    length = plane.shape[2] - 2 * reach
    pairs = [plane[..., reach : reach + length]]
    pairs += [plane[..., reach - j : reach - j + length] + plane[..., reach + j : reach + j + length] for j in range(1, reach + 1)]
    length = (height - 1) * stride + width
    sums = plane.new_zeros((*plane.shape[:2], length))
    for i, weights in enumerate(quadrant.tolist()):
        line = pairs[0] * weights[0]
        for pair, weight in zip(pairs[1:], weights[1:], strict=True):
            line.add_(pair, alpha=weight)
        for start in {(reach - i) * stride, (reach + i) * stride}:
            sums.add_(line[..., start : start + length])
    return rows_of_plane(sums.clamp_(max=255.0), height, width, stride).to(torch.uint8)


def _reflected(size: int, margin: int) -> npt.NDArray[np.int64]:
    """Indices that draw an axis out by `margin` on both sides, reflected without the edge (c b | a b c), as often as needed."""
    period = max(1, 2 * (size - 1))
    index = np.arange(-margin, size + margin) % period
    return np.minimum(index, period - index) if size > 1 else np.zeros_like(index)


def glass_blur(images: Tensor, parameter: tuple[float, int, int], field: RandomField) -> Tensor:
    """A Gaussian filter of spread sigma, `passes` shuffles of pixels up to `reach` apart, and the filter again.

    In a shuffle each pixel, from the last to the first, takes the value that then stands at (row + dy, column + dx), dy and dx uniform over
    -reach to reach - 1; it is a copy, not a swap. The first reach + 1 and last reach - 1 rows and columns stay.
    """
    sigma, reach, passes = parameter
    x = gaussian_blur(images.contiguous(), sigma, field)
    for stream in range(passes):
        x = _shuffle_neighbours(x, field, stream) if reach == 1 else _shuffle(x, reach, field, stream)
    return gaussian_blur(x, sigma, field)


def _shuffle_neighbours(images: Tensor, field: RandomField, stream: int) -> Tensor:
    """The shuffle for reach 1. All sources (above, left, above left, itself) come later in the scan: each is copied as it was before."""
    height, width = images.shape[2:]
    if min(height, width) <= 2:
        return images
    random = field.bits(math.ceil(height * width / 4), stream).view(torch.uint8)[:, : height * width]
    random = random & _moved(height, width, 1).to(images.device)
    # As masks of 0 or 255: bitwise choices are the fastest there are.
    from_left = random.bitwise_and(1).neg_()[:, None, width + 1 :]
    from_above = random.bitwise_right_shift(1).bitwise_and_(1).neg_()[:, None, width + 1 :]
    out = images.flatten(2).clone()
    own, left, above, corner = (out[..., width + 1 - shift : out.shape[2] - shift] for shift in (0, 1, width, width + 1))
    same_row = (own ^ left).bitwise_and_(from_left).bitwise_xor_(own)
    row_above = (above ^ corner).bitwise_and_(from_left).bitwise_xor_(above)
    out[..., width + 1 :] = row_above.bitwise_xor_(same_row).bitwise_and_(from_above).bitwise_xor_(same_row)
    return out.view(images.shape)


def _shuffle(images: Tensor, reach: int, field: RandomField, stream: int) -> Tensor:
    """The shuffle for any reach."""
    height, width = images.shape[2:]
    if min(height, width) <= 2 * reach:
        return images
    moved = (_moved(height, width, reach) > 0).to(images.device)
    steps = field.uniform(2 * height * width, stream).mul_(2 * reach).to(torch.int64).sub_(reach)
    own = torch.arange(height * width, device=images.device)
    down, right = steps.chunk(2, dim=1)
    source = torch.where(moved, own + down * width + right, own)  # (N, H W)
    origin = settled_sources(source, moved)
    return images.flatten(2).gather(2, origin[:, None].expand(-1, images.shape[1], -1)).view(images.shape)


def settled_sources(source: Tensor, moved: Tensor) -> Tensor:
    """Where each pixel's value stood before a shuffle in place, from the last pixel to the first.

    A source that was overwritten before it was read has the value of its own source, and so on; the chains are followed in jumps of
    doubling length.

    Args:
        source: (N, P) int64, the pixel that each pixel reads.
        moved: (P,) bool, the pixels that are overwritten; the others keep their value.

    Returns:
        (N, P) int64.
    """
    own = torch.arange(source.shape[1], device=source.device)
    overwritten = moved & moved[source] & (source > own)
    follow = torch.where(overwritten, source, own)
    while True:
        further = follow.gather(1, follow)
        if torch.equal(further, follow):
            return source.gather(1, follow)
        follow = further


def _moved(height: int, width: int, reach: int) -> Tensor:
    """(H * W,) uint8: 255 at pixels that a shuffle overwrites, else 0."""
    moved = torch.zeros((height, width), dtype=torch.uint8)
    moved[reach + 1 : height - reach + 1, reach + 1 : width - reach + 1] = 255
    return moved.flatten()


def motion_blur(images: Tensor, parameter: tuple[float, float], field: RandomField) -> Tensor:
    """A trail of `radius` and spread `sigma` pixels at an angle that is uniform over -45 to 45 degrees, one an image."""
    radius, sigma = parameter
    degrees = field.uniform(1)[:, 0].double().mul_(90.0).sub_(45.0)
    return motion.motion_blur(images, radius=radius, sigma=sigma, degrees=degrees)


def zoom_blur(images: Tensor, parameter: tuple[float, float], field: RandomField) -> Tensor:
    """The mean of the image and its bilinear zooms into the centre by 1, 1 + step, ... below `end`.

    One sparse matrix of pixels by pixels, times the pixels of all images and channels. It grows with the square of the pixels, so above
    256 x 256 of them rows and columns of each zoom are multiplied one after the other.
    """
    n, channels, height, width = images.shape
    end, step = parameter
    if n == 0:
        return images.clone()
    lowered = _lowered_levels(end, step, images.device)
    if height * width > _MOST_PIXELS:
        out = torch.empty_like(images, memory_format=torch.contiguous_format)
        for rows in blocks(images):
            out[rows] = _zoom_blur_block(images[rows], np.arange(1, end, step).tolist(), lowered)
        return out
    levels = images.reshape(n * channels, height * width).T.contiguous()
    blurred = _zoom_blur_matrix(height, width, end, step, images.device) @ levels.float()
    blurred.sub_(lowered.index_select(0, levels.flatten().int()).view_as(blurred))
    return blurred.to(torch.uint8).T.reshape(images.shape)


def _zoom_blur_block(images: Tensor, factors: list[float], lowered: Tensor) -> Tensor:
    x = images.double()
    total = x.clone()
    for factor in factors:
        total += apply_separable(x, *(clipped_zoom_matrix(size, factor) for size in images.shape[2:]))
    # The sum of whole levels may end a last bit below one: a millionth of a level, far less than `lowered`, makes up for it.
    total.div_(len(factors) + 1).add_(2.0**-20).sub_(lowered[images.long()])
    return total.clamp_(0.0, 255.0).to(torch.uint8)


@functools.lru_cache(maxsize=8)
def _lowered_levels(end: float, step: float, device: torch.device) -> Tensor:
    """(256,) float32: what a plain area of each grey level loses.

    The reference adds the zooms in float32. A plain area of some levels so ends below its level and is truncated to the next: one unit of
    2**-16 less does the same, and changes no other value.
    """
    grey = (np.arange(256) / 255).astype(np.float32)
    added = np.zeros_like(grey)
    n_zooms = len(np.arange(1, end, step))
    for _ in range(n_zooms):
        added += grey
    found = ((grey + added) / np.float32(n_zooms + 1)).clip(0, 1) * np.float32(255)
    return (torch.from_numpy(found.astype(np.uint8) < np.arange(256)).float() / _FLOAT32_UNITS).to(device)


def _zoom_entries(height: int, width: int, factor: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The weights of one zoom, and their places in a (H W, H W) matrix."""
    rows, columns = clipped_zoom_matrix(height, factor), clipped_zoom_matrix(width, factor)
    (y_out, y_in), (x_out, x_in) = np.nonzero(rows), np.nonzero(columns)
    places = (y_out[:, None] * width + x_out) * (height * width) + y_in[:, None] * width + x_in
    return places.ravel(), (rows[y_out, y_in][:, None] * columns[x_out, x_in]).ravel()


@functools.lru_cache(maxsize=5)
def _zoom_blur_matrix(height: int, width: int, end: float, step: float, device: torch.device) -> Tensor:
    """(H W, H W) sparse float32 in units of 2**-16, rows sum to 1."""
    factors = np.arange(1, end, step)
    n = height * width
    diagonal = np.arange(n) * (n + 1)
    # Of all (n, n) places, numbered row by row: which hold a weight, once for each zoom, and the weight.
    parts = [(diagonal, np.ones(n)), *(_zoom_entries(height, width, factor) for factor in factors.tolist())]
    places, index = np.unique(np.concatenate([place for place, _ in parts]), return_inverse=True)
    units = np.rint(np.bincount(index, np.concatenate([weight for _, weight in parts])) / (len(factors) + 1) * _FLOAT32_UNITS)
    units[np.searchsorted(places, diagonal)] += _FLOAT32_UNITS - np.bincount(places // n, units, minlength=n)
    return torch.sparse_coo_tensor(
        torch.from_numpy(np.stack([places // n, places % n])),
        torch.from_numpy(units / _FLOAT32_UNITS).float(),
        (n, n),
        check_invariants=True,
        is_coalesced=True,
    ).to(device)
