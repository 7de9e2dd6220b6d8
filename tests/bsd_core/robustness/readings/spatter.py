"""Spatter, read once more: one (H, W, C) uint8 image at a time, with NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tests._dummies import Float64, UInt8

Bool = npt.NDArray[np.bool_]
Parameter = tuple[float, float, float, float, float, int]


def spatter(image: UInt8, parameter: Parameter, rng: np.random.Generator) -> UInt8:
    return spatter_of_layer(image, liquid_layer(image.shape[:2], parameter, rng), parameter)


def liquid_layer(shape: tuple[int, ...], parameter: Parameter, rng: np.random.Generator) -> Float64:
    mean, spread, blur, threshold, _, _ = parameter
    layer = ndimage.gaussian_filter(rng.normal(mean, spread, shape), blur, mode="nearest", truncate=4.0)
    return np.where(layer < threshold, 0.0, layer)


def spatter_of_layer(image: UInt8, layer: Float64, parameter: Parameter) -> UInt8:
    _, _, _, threshold, weight, mode = parameter
    x = image / 255
    colour = np.array([175, 238, 238]) / 255 if mode == 0 else np.array([63, 42, 20]) / 255
    if image.shape[2] == 1:
        colour = colour @ [[0.299], [0.587], [0.114]]
    if mode == 0:
        x = x + weight * water_mask((layer * 255).astype(int) % 256)[:, :, None] * colour
    else:
        mask = ndimage.gaussian_filter((layer > threshold).astype(float), weight, mode="nearest", truncate=4.0)
        mask = np.where(mask < 0.8, 0.0, mask)[:, :, None]
        x = x * (1 - mask) + mask * colour
    # The reference adds in float32, in which x / 255 * 255 is x for every grey level; in float64 a small number does the same.
    return np.floor(np.clip(x, 0, 1) * 255 + 1e-9).astype(np.uint8)


def water_mask(layer: npt.NDArray[np.int_]) -> Float64:
    distance = np.minimum(chamfer_distance(canny(layer)), 20.0)
    distance = np.floor(ndimage.uniform_filter(distance, 3, mode="mirror") + 1e-9).astype(np.uint8)
    relief = ndimage.correlate(equalise(distance).astype(int), np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]), mode="mirror")
    smooth = np.rint(ndimage.uniform_filter(np.clip(relief, 0, 255).astype(float), 3, mode="mirror"))
    mask = layer * smooth
    out: Float64 = mask / max(mask.max(), 1)
    return out


def canny(layer: npt.NDArray[np.int_]) -> Bool:
    height, width = layer.shape
    gx, gy = (np.asarray(ndimage.sobel(layer, axis=axis, mode="nearest")) for axis in (1, 0))
    magnitude = np.abs(gx) + np.abs(gy)
    around = np.pad(magnitude, 1)
    weak = np.zeros(layer.shape, dtype=bool)
    for row in range(height):
        for column in range(width):
            here, x, y = magnitude[row, column], gx[row, column], gy[row, column]
            window = around[row : row + 3, column : column + 3]
            angle = np.degrees(np.arctan2(abs(y), abs(x)))
            if angle < 22.5:
                peak = here > window[1, 0] and here >= window[1, 2]
            elif angle > 67.5:
                peak = here > window[0, 1] and here >= window[2, 1]
            elif (x < 0) != (y < 0):
                peak = here > window[0, 2] and here > window[2, 0]
            else:
                peak = here > window[0, 0] and here > window[2, 2]
            weak[row, column] = peak and here > 50
    parts = np.empty(layer.shape, dtype=np.int32)
    n_parts = ndimage.label(weak, structure=np.ones((3, 3)), output=parts)
    strong = np.array([magnitude[parts == part].max() > 150 for part in range(1, n_parts + 1)], dtype=bool)
    edges: Bool = np.append(False, strong)[parts]
    return edges


def chamfer_distance(edges: Bool) -> Float64:
    """Steps of a chess board: as many knight's moves as fit, the rest diagonal or straight."""
    if not edges.any():
        return np.full(edges.shape, 1000.0)
    rows, columns = np.nonzero(edges)
    y, x = np.mgrid[: edges.shape[0], : edges.shape[1]]
    down, right = np.abs(y[:, :, None] - rows), np.abs(x[:, :, None] - columns)
    long, short = np.maximum(down, right), np.minimum(down, right)
    one, diagonal, knight = (round(step * 65536) / 65536 for step in (1, 1.4, 2.1969))  # fixed point, as in OpenCV
    steep = knight * (long - short) + diagonal * (2 * short - long)
    shallow = knight * short + one * (long - 2 * short)
    distance: Float64 = np.where(long >= 2 * short, shallow, steep).min(axis=2)
    return distance


def equalise(values: UInt8) -> UInt8:
    counts_of_all = np.bincount(values.ravel(), minlength=256)
    levels = np.flatnonzero(counts_of_all)
    counts = counts_of_all[levels]
    if len(levels) == 1:
        return values
    table = np.zeros(256)
    scale = np.float32(255) / np.float32(values.size - counts[0])
    table[levels] = np.rint((np.cumsum(counts) - counts[0]).astype(np.float32) * scale)
    out: UInt8 = table[values].astype(np.uint8)
    return out
