"""Colour, contrast, resolution and shape, read from their definitions once more: one image at a time, in NumPy, SciPy and Pillow."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy import ndimage

from tests._dummies import Float64, UInt8


def truncate(x: Float64) -> UInt8:
    """[0, 1] to grey levels: clip, times 255, cut off."""
    return (np.clip(x, 0, 1) * 255).astype(np.uint8)


def rgb_to_hsv(x: Float64) -> tuple[Float64, Float64, Float64]:
    """(..., 3) -> hue, saturation, value; the operations are scikit-image's, in its order."""
    red, green, blue = np.moveaxis(x, -1, 0)
    value, delta = x.max(-1), x.max(-1) - x.min(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        saturation = np.where(delta == 0, 0, delta / value)
        hue = np.select(
            [blue == value, green == value, red == value],
            [4 + (red - green) / delta, 2 + (blue - red) / delta, (green - blue) / delta],
        )
        hue = np.where(delta == 0, 0, hue / 6 % 1)
    return hue, saturation, value


def hsv_to_rgb(hue: Float64, saturation: Float64, value: Float64) -> Float64:
    sector = np.floor(hue * 6)
    fraction = hue * 6 - sector
    low, falling, rising = value * (1 - saturation), value * (1 - fraction * saturation), value * (1 - (1 - fraction) * saturation)
    which = (sector.astype(int) % 6)[..., None]
    colours = [
        (value, rising, low),
        (falling, value, low),
        (low, value, rising),
        (low, falling, value),
        (rising, low, value),
        (value, low, falling),
    ]
    return np.select([which == k for k in range(6)], [np.stack(colour, axis=-1) for colour in colours])


def brightness(image: UInt8, amount: float, rng: np.random.Generator) -> UInt8:
    if image.shape[2] == 1:
        return truncate(image / 255 + amount)
    hue, saturation, value = rgb_to_hsv(image / 255)
    return truncate(hsv_to_rgb(hue, saturation, np.clip(value + amount, 0, 1)))


def saturate(image: UInt8, parameter: tuple[float, float], rng: np.random.Generator) -> UInt8:
    if image.shape[2] == 1:
        return image
    scale, shift = parameter
    hue, saturation, value = rgb_to_hsv(image / 255)
    return truncate(hsv_to_rgb(hue, np.clip(saturation * scale + shift, 0, 1), value))


def contrast(image: UInt8, amount: float, rng: np.random.Generator) -> UInt8:
    x = image / 255
    mean = x.mean(axis=(0, 1), keepdims=True)
    return truncate((x - mean) * amount + mean)


def to_picture(image: UInt8) -> Image.Image:
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def pixelate(image: UInt8, amount: float, rng: np.random.Generator) -> UInt8:
    height, width, _ = image.shape
    small = to_picture(image).resize((max(1, int(width * amount)), max(1, int(height * amount))), Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.BOX)).reshape(image.shape)


def jpeg_compression(image: UInt8, quality: int, rng: np.random.Generator) -> UInt8:
    buffer = io.BytesIO()
    to_picture(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer)).reshape(image.shape)


def elastic_transform(image: UInt8, parameter: tuple[float, float, float], rng: np.random.Generator) -> UInt8:
    height, width, channels = image.shape
    side = min(height, width)
    alpha, sigma, affine = (share * side for share in parameter)
    x = image / 255
    rows, columns = np.mgrid[0:height, 0:width].astype(float)

    def sample(row: Float64, column: Float64, border: str) -> Float64:
        return np.stack([ndimage.map_coordinates(x[:, :, c], [row, column], order=1, mode=border) for c in range(channels)], axis=2)

    if side >= 3:
        center, reach = np.array([width // 2, height // 2]), side // 3
        points = center + np.array([[reach, reach], [reach, -reach], [-reach, -reach]])
        moved = points + rng.uniform(-affine, affine, (3, 2))
        to_source = np.linalg.solve(np.column_stack([moved, np.ones(3)]), points)  # (3, 2): (x, y, 1) @ to_source
        source = np.stack([columns, rows, np.ones_like(rows)], axis=2) @ to_source
        x = sample(source[:, :, 1], source[:, :, 0], "mirror")
    if sigma > 0:
        dx, dy = (alpha * ndimage.gaussian_filter(rng.uniform(-1, 1, (height, width)), sigma, mode="reflect", truncate=3) for _ in range(2))
        x = sample(rows + dy, columns + dx, "reflect")
    # A mean of equal pixels may come out short in the last bits.
    return truncate(x + 1e-9)
