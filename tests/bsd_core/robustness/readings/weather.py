"""The definitions of snow, frost and fog, read once more: one (H, W, C) uint8 image at a time, in float64, with numpy and scipy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests._dummies import Float64, UInt8


def to_uint8(grey_levels: Float64) -> UInt8:
    """Clip and cut off, as the definition says."""
    return np.clip(grey_levels, 0, 255).astype(np.uint8)


def diamond_square(side: int, decay: float, rng: np.random.Generator) -> Float64:
    """(side, side) plasma on a torus, between 0 and 1."""
    height = np.zeros((side, side))
    width, step = 100.0, side
    while step > 1:
        half = step // 2
        corners, middles = np.arange(0, side, step), np.arange(half, side, step)

        def fill(rows: Float64, columns: Float64, offsets: Sequence[tuple[int, int]], width: float = width) -> None:
            y, x = np.meshgrid(rows, columns, indexing="ij")
            mean = sum(height[(y + dy) % side, (x + dx) % side] for dy, dx in offsets) / 4
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
