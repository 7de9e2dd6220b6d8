"""Blurs, read from their definitions once more: one image at a time, in NumPy and SciPy."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tests._dummies import Float64, UInt8


def truncate(x: Float64) -> UInt8:
    """[0, 1] to grey levels: clip, times 255, cut off."""
    return (np.clip(x, 0, 1) * 255).astype(np.uint8)


def gaussian_blur(image: UInt8, sigma: float, rng: np.random.Generator) -> UInt8:
    planes = [ndimage.gaussian_filter(image[:, :, c] / 255, sigma, mode="nearest", truncate=4.0) for c in range(image.shape[2])]
    return truncate(np.stack(planes, axis=2))


def defocus_kernel(radius: float, alias: float) -> Float64:
    """A disk, normalised, smoothed by 3 x 3 (5 x 5 above radius 8) Gaussian weights, each step rounded to float32."""
    reach = 8 if radius <= 8 else int(radius)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for y in range(-reach, reach + 1):
        for x in range(-reach, reach + 1):
            kernel[y + reach, x + reach] = x * x + y * y <= radius * radius
    kernel /= kernel.sum()
    offsets = np.array([-1, 0, 1] if radius <= 8 else [-2, -1, 0, 1, 2])
    weights = np.exp(-(offsets**2) / (2 * alias**2))
    weights = (weights / weights.sum()).astype(np.float32)
    for axis in (1, 0):
        kernel = ndimage.correlate1d(kernel, weights, axis=axis, mode="mirror")
    return kernel.astype(np.float64)


def defocus_blur(image: UInt8, parameter: tuple[float, float], rng: np.random.Generator) -> UInt8:
    kernel = defocus_kernel(*parameter)
    planes = [ndimage.correlate(image[:, :, c] / 255, kernel, mode="mirror") for c in range(image.shape[2])]
    return truncate(np.stack(planes, axis=2))


def glass_blur(image: UInt8, parameter: tuple[float, int, int], rng: np.random.Generator) -> UInt8:
    sigma, reach, passes = parameter
    height, width = image.shape[:2]
    x = gaussian_blur(image, sigma, rng)
    for _ in range(passes):
        for row in range(height - reach, reach, -1):
            for column in range(width - reach, reach, -1):
                right, down = rng.integers(-reach, reach, 2)
                x[row, column] = x[row + down, column + right]
    return gaussian_blur(x, sigma, rng)


def motion_blur_at(image: UInt8, radius: float, sigma: float, degrees: float) -> UInt8:
    height, width = image.shape[:2]
    n_taps = 2 * math.ceil(radius) + 1
    weights = np.exp(-(np.arange(n_taps) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    across, along = n_taps * math.sin(math.radians(degrees)), n_taps * math.cos(math.radians(degrees))
    length = math.hypot(across, along)
    out = np.zeros(image.shape)
    for tap in range(n_taps):
        rows = np.arange(height) + math.ceil(tap * across / length - 0.5)
        columns = np.arange(width) + math.ceil(tap * along / length - 0.5)
        out += weights[tap] * image[rows.clip(0, height - 1)[:, None], columns.clip(0, width - 1)]
    # To ImageMagick's 16 bits, 257 for each grey level, by rounding; from those to 8 bits by truncation.
    return (np.floor(out * 257 + 0.5) // 257).astype(np.uint8)


def motion_blur(image: UInt8, parameter: tuple[float, float], rng: np.random.Generator) -> UInt8:
    return motion_blur_at(image, *parameter, degrees=rng.uniform(-45, 45))


def clipped_zoom(image: npt.NDArray[np.float32], factor: float) -> npt.NDArray[np.float32]:
    """(H, W, C): the middle, zoomed to the size of the whole."""
    crops = [math.ceil(size / factor) for size in image.shape[:2]]
    top, left = ((size - crop) // 2 for size, crop in zip(image.shape[:2], crops, strict=True))
    zoomed: npt.NDArray[np.float32] = ndimage.zoom(image[top : top + crops[0], left : left + crops[1]], (factor, factor, 1), order=1)
    top, left = ((drawn - size) // 2 for size, drawn in zip(image.shape[:2], zoomed.shape[:2], strict=True))
    return zoomed[top : top + image.shape[0], left : left + image.shape[1]]


def zoom_blur(image: UInt8, parameter: tuple[float, float], rng: np.random.Generator) -> UInt8:
    x = (image / 255).astype(np.float32)
    factors = np.arange(1, *parameter)
    total = np.zeros_like(x)
    for factor in factors:
        total += clipped_zoom(x, factor)
    return (np.clip((x + total) / (len(factors) + 1), 0, 1) * 255).astype(np.uint8)
