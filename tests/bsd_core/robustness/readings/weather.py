"""The definitions of snow, frost and fog, read once more: one (H, W, C) uint8 image at a time, in float64, with numpy and scipy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from tests._dummies import Float64, Int64, UInt8


def to_uint8(grey_levels: Float64) -> UInt8:
    """Clip and cut off, as the definition says."""
    return np.clip(grey_levels, 0, 255).astype(np.uint8)


def clipped_zoom(layer: Float64, factor: float) -> Float64:
    """The middle of a layer drawn out by `factor`, to the layer's own size."""
    crop = [math.ceil(size / factor) for size in layer.shape]
    top, left = ((size - part) // 2 for size, part in zip(layer.shape, crop, strict=True))
    drawn = ndimage.zoom(layer[top : top + crop[0], left : left + crop[1]], factor, order=1)
    trim_top, trim_left = ((large - size) // 2 for large, size in zip(drawn.shape, layer.shape, strict=True))
    return np.asarray(drawn[trim_top : trim_top + layer.shape[0], trim_left : trim_left + layer.shape[1]])


def trail(layer: UInt8, radius: float, sigma: float, degrees: float) -> UInt8:
    """Motion blur in ImageMagick's closed form: one-sided weights along a line, edges replicated."""
    taps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-(taps**2) / (2 * sigma**2))
    weights /= weights.sum()
    right = np.ceil(taps * math.cos(math.radians(degrees)) - 0.5).astype(int)
    down = np.ceil(taps * math.sin(math.radians(degrees)) - 0.5).astype(int)
    height, width = layer.shape
    y, x = np.mgrid[:height, :width]
    total = np.zeros(layer.shape)
    for weight, dx, dy in zip(weights, right, down, strict=True):
        total += weight * layer[np.clip(y + dy, 0, height - 1), np.clip(x + dx, 0, width - 1)]
    return (total + 1e-9).astype(np.uint8)  # a plain 200 must not become 199.99


def snow(image: UInt8, parameter: tuple[float, ...], rng: np.random.Generator) -> UInt8:
    mean, spread, zoom, threshold, radius, sigma, keep = parameter
    x = image / 255
    layer = clipped_zoom(rng.normal(mean, spread, image.shape[:2]), zoom)
    layer[layer < threshold] = 0
    flakes = trail(to_uint8(layer * 255), radius, sigma, rng.uniform(-135, -45)) / 255
    grey = x @ [0.299, 0.587, 0.114] if image.shape[2] == 3 else x[:, :, 0]
    x = keep * x + (1 - keep) * np.maximum(x, 1.5 * grey[:, :, np.newaxis] + 0.5)
    return to_uint8((x + flakes[:, :, np.newaxis] + np.rot90(flakes, 2)[:, :, np.newaxis]) * 255)


def frost(image: UInt8, parameter: tuple[float, float, float], rng: np.random.Generator, pictures: Sequence[UInt8]) -> UInt8:
    """`pictures` are (H, W, C) like the image, at their full size."""
    keep, cover, scale = parameter
    picture = resize(pictures[int(rng.integers(0, len(pictures)))], scale)
    height, width, _ = image.shape
    top = rng.integers(0, picture.shape[0] - height)
    left = rng.integers(0, picture.shape[1] - width)
    return to_uint8(keep * image + cover * picture[top : top + height, left : left + width])


def resize(picture: UInt8, scale: float) -> UInt8:
    """Bilinear between pixel centres."""
    if scale == 1:
        return picture
    y, x = np.meshgrid(*((np.arange(round(scale * size)) + 0.5) / scale - 0.5 for size in picture.shape[:2]), indexing="ij")
    planes = [ndimage.map_coordinates(picture[:, :, c].astype(float), [y, x], order=1, mode="nearest") for c in range(picture.shape[2])]
    out: UInt8 = np.rint(np.stack(planes, axis=2)).astype(np.uint8)
    return out


def diamond_square(side: int, decay: float, rng: np.random.Generator) -> Float64:
    """(side, side) plasma on a torus, between 0 and 1."""
    height = np.zeros((side, side))
    width, step = 100.0, side
    while step > 1:
        half = step // 2
        corners, middles = np.arange(0, side, step), np.arange(half, side, step)

        def fill(rows: Int64, columns: Int64, offsets: Sequence[tuple[int, int]], width: float = width) -> None:
            y, x = np.meshgrid(rows, columns, indexing="ij")
            mean = np.mean([height[(y + dy) % side, (x + dx) % side] for dy, dx in offsets], axis=0)
            height[y, x] = mean + width * rng.uniform(-width, width, y.shape)

        fill(middles, middles, [(-half, -half), (-half, half), (half, -half), (half, half)])
        beside = [(-half, 0), (half, 0), (0, -half), (0, half)]
        fill(corners, middles, beside)
        fill(middles, corners, beside)
        width, step = width / decay, half
    height -= height.min()
    return np.asarray(height / height.max())


def fog(image: UInt8, parameter: tuple[float, float], rng: np.random.Generator) -> UInt8:
    amount, decay = parameter
    height, width, _ = image.shape
    side = 2
    while side < max(height, width):
        side *= 2
    x = image / 255
    foggy = (x + amount * diamond_square(side, decay, rng)[:height, :width, np.newaxis]) * x.max() / (x.max() + amount)
    return to_uint8(foggy * 255)
