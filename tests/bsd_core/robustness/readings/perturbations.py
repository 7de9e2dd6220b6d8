"""The perturbation sequences, read once more: frame i of one (H, W, C) uint8 image, with NumPy, SciPy and Pillow."""

from __future__ import annotations

import colorsys
import math

import numpy as np
from PIL import Image
from scipy import ndimage

from tests._dummies import Float64, UInt8
from tests.bsd_core.robustness.readings import spatter as spatter_reading

Rng = np.random.Generator
CLEAN_FIRST = 0


def truncate(x: Float64) -> UInt8:
    return (np.clip(x, 0, 1) * 255).astype(np.uint8)


def gaussian_noise(image: UInt8, frame: int, rng: Rng, sigma: float = 0.02) -> UInt8:
    return image if frame == CLEAN_FIRST else truncate(image / 255 + rng.normal(0, sigma, image.shape))


def shot_noise(image: UInt8, frame: int, rng: Rng, photons: float = 700) -> UInt8:
    return image if frame == CLEAN_FIRST else truncate(rng.poisson(image / 255 * photons) / photons)


def speckle_noise(image: UInt8, frame: int, rng: Rng, sigma: float = 0.05) -> UInt8:
    return image if frame == CLEAN_FIRST else truncate(image / 255 * (1 + rng.normal(0, sigma, image.shape)))


def motion_blur(image: UInt8, frame: int, rng: Rng) -> UInt8:
    return blur_along(image, radius=6, sigma=1.8, degrees=(frame - 20) * 9)


def blur_along(image: UInt8, *, radius: int, sigma: float, degrees: float) -> UInt8:
    height, width = image.shape[:2]
    n = 2 * radius + 1
    weights = np.exp(-(np.arange(n) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    y, x = np.mgrid[0:height, 0:width]
    total = np.zeros(image.shape)
    # The detour over n decides where half a pixel falls, as at -150 degrees.
    along, across = n * math.cos(math.radians(degrees)), n * math.sin(math.radians(degrees))
    for tap, weight in enumerate(weights):
        right = math.ceil(tap * along / math.hypot(along, across) - 0.5)
        down = math.ceil(tap * across / math.hypot(along, across) - 0.5)
        total += weight * image[np.clip(y + down, 0, height - 1), np.clip(x + right, 0, width - 1)]
    return np.floor(total + 1e-9).astype(np.uint8)


def affine(image: UInt8, *, degrees: float = 0, scale: float = 1, shear: float = 0) -> UInt8:
    """Pillow's own transform by the coefficients of torchvision 0.2.1, to the last bit: values are truncated, so it decides."""
    height, width, channels = image.shape
    x, y = width * 0.5 + 0.5, height * 0.5 + 0.5
    a, s = math.radians(degrees), math.radians(shear)
    unit = 1 / ((math.cos(a) * math.cos(a + s) + math.sin(a) * math.sin(a + s)) * scale)
    first, second = [unit * math.cos(a + s), unit * math.sin(a + s)], [unit * -math.sin(a), unit * math.cos(a)]
    coefficients = tuple(float(v) for row, start in ((first, x), (second, y)) for v in [*row, row[0] * -x + row[1] * -y + start])
    picture = Image.fromarray(image[:, :, 0] if channels == 1 else image)
    moved = picture.transform((width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    return np.asarray(moved).reshape(image.shape)


def zoom_blur(image: UInt8, frame: int, rng: Rng) -> UInt8:
    total = np.zeros(image.shape, dtype=np.float32)
    for step in range(frame + 1):
        total += affine(image, scale=1 + 0.004 * step).astype(np.float32) / np.float32(255)
    return (total / np.float32(frame + 1) * np.float32(255)).astype(np.uint8)


def snow(image: UInt8, frame: int, rng: Rng) -> UInt8:
    return snow_of_noise(image, frame, rng.normal(0.05, 0.3, image.shape[:2]))


def snow_of_noise(image: UInt8, frame: int, noise: Float64) -> UInt8:
    """For sides that are even: the middle half of the noise is drawn out to the full size."""
    height, width = noise.shape
    middle = noise[height // 4 : height // 4 + height // 2, width // 4 : width // 4 + width // 2]
    flakes = ndimage.zoom(middle, 2, order=1)
    flakes = truncate(np.where(flakes < 0.5, 0.0, flakes))[:, :, None]
    fallen = blur_along(flakes, radius=10, sigma=2, degrees=4 * frame - 150) / 255
    x = image / 255
    grey = x if image.shape[2] == 1 else x @ np.array([[0.299], [0.587], [0.114]])
    return truncate(0.85 * x + 0.15 * np.maximum(x, 1.5 * grey + 0.5) + fallen + fallen[::-1, ::-1])


def brightness(image: UInt8, frame: int, rng: Rng) -> UInt8:
    amount = (frame - 15) * 3 / 200
    if image.shape[2] == 1:
        return truncate(image / 255 + amount)
    out = np.empty(image.shape)
    for place in np.ndindex(*image.shape[:2]):
        hue, saturation, value = colorsys.rgb_to_hsv(*(image[place] / 255).tolist())
        out[place] = colorsys.hsv_to_rgb(hue, saturation, min(max(value + amount, 0.0), 1.0))
    return truncate(out)


def translate(image: UInt8, frame: int, rng: Rng) -> UInt8:
    out: UInt8 = ndimage.shift(image, (0, frame - 7, 0), order=0, mode="constant", prefilter=False)
    return out


def rotate(image: UInt8, frame: int, rng: Rng) -> UInt8:
    return affine(image, degrees=frame - 15)


def scale(image: UInt8, frame: int, rng: Rng) -> UInt8:
    return affine(image, scale=(70 + 2 * frame) / 100)


def shear(image: UInt8, frame: int, rng: Rng) -> UInt8:
    return affine(image, shear=frame - 15)


def tilt(image: UInt8, frame: int, rng: Rng) -> UInt8:
    """By four corners: where a pinhole camera sees them, and the homography through them."""
    height, width, channels = image.shape
    angle = math.radians(0.75 * (frame - 15))
    focal = math.hypot(width, height)
    about_x = np.array([[1, 0, 0], [0, math.cos(angle), -math.sin(angle)], [0, math.sin(angle), math.cos(angle)]])
    about_y = np.array([[math.cos(angle), 0, -math.sin(angle)], [0, 1, 0], [math.sin(angle), 0, math.cos(angle)]])
    equations = []
    for x, y in [(0, 0), (width, 0), (0, height), (width, height)]:
        right, down, away = about_x @ about_y @ [x - width / 2, y - height / 2, 1]
        u, v = focal * right / (away + focal) + width / 2, focal * down / (away + focal) + height / 2
        equations += [[u, v, 1, 0, 0, 0, -x * u, -x * v, x], [0, 0, 0, u, v, 1, -y * u, -y * v, y]]
    system = np.array(equations)
    a, b, c, d, e, f, g, h = np.linalg.solve(system[:, :8], system[:, 8])
    v, u = np.mgrid[0:height, 0:width]
    away = g * u + h * v + 1
    places = [np.rint(32 * part / away) / 32 for part in (d * u + e * v + f, a * u + b * v + c)]  # OpenCV looks up 1/32 pixels
    planes = [ndimage.map_coordinates(image[:, :, k].astype(float), places, order=1, mode="grid-constant") for k in range(channels)]
    return np.floor(np.stack(planes, axis=2) + 0.5).astype(np.uint8)


def gaussian_blur(image: UInt8, frame: int, rng: Rng) -> UInt8:
    sigma = 0.3 + frame * 0.015
    planes = [ndimage.gaussian_filter(image[:, :, k] / 255, sigma, mode="nearest", truncate=7) for k in range(image.shape[2])]
    return truncate(np.stack(planes, axis=2))


SPATTER = (0.6, 0.265, 1.75, 0.7, 0.6, 0)


def spatter(image: UInt8, frame: int, rng: Rng) -> UInt8:
    return spatter_of_layer(image, frame, spatter_reading.liquid_layer(image.shape[:2], SPATTER, rng))


def spatter_of_layer(image: UInt8, frame: int, layer: Float64) -> UInt8:
    for _ in range(frame):
        layer = np.apply_along_axis(lambda column: np.convolve(column, [0.2, 0.8], mode="same"), 0, layer)
    return spatter_reading.spatter_of_layer(image, layer, SPATTER)
