"""Snow, frost and fog."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import threshold as set_below

from bsd_core.robustness.colour import luma
from bsd_core.robustness.frost_textures import FrostTextures
from bsd_core.robustness.motion import motion_blur
from bsd_core.robustness.pixels import to_uint8
from bsd_core.robustness.plasma import plasma_fractal, plasma_side
from bsd_core.robustness.random_fields import RandomField
from bsd_core.robustness.separable import apply_separable, clipped_zoom_matrix


def snow(images: Tensor, parameter: tuple[float, ...], field: RandomField) -> Tensor:
    """keep * x + (1 - keep) * max(x, 1.5 grey + 0.5), and flakes on it: the image whitens, then snow falls from two opposite sides.

    The flakes are normal noise, zoomed, set to 0 below a threshold, cut to grey levels and blurred along an angle of -135 to -45 degrees,
    one for each image; they are added twice, as they are and rotated by 180 degrees.

    Args:
        images: (N, C, H, W) uint8. A grey image is its own grey.
        parameter: the noise's mean and spread, zoom, threshold, radius and sigma of the motion blur in pixels, and keep.
        field: of the images.
    """
    mean, spread, zoom, threshold, radius, sigma, keep = parameter
    # Noise that the zoom leaves outside is not drawn.
    rows, columns = (matrix[:, matrix.any(0)] for matrix in (clipped_zoom_matrix(size, zoom) for size in images.shape[2:]))
    noise = field.normal(rows.shape[1] * columns.shape[1]).view(-1, 1, rows.shape[1], columns.shape[1])
    # In float64, so that no value comes near enough to the threshold to fall on its other side in another batch or on another device.
    noise = noise.to(torch.float64).mul_(spread).add_(mean)
    if zoom != 1:
        noise = apply_separable(noise, rows, columns)
    flakes = to_uint8(set_below(noise, threshold, 0.0, inplace=True))
    degrees = 90.0 * field.uniform(1, stream=1)[:, 0] - 135.0
    return add_flakes(whitened(images, keep), motion_blur(flakes, radius=radius, sigma=sigma, degrees=degrees))


def whitened(images: Tensor, keep: float) -> Tensor:
    """(N, C, H, W) uint8 -> float32 grey levels: keep * x + (1 - keep) * max(x, 1.5 grey + 127.5)."""
    x = images.to(torch.float32)
    white = (luma(x) * 1.5 + 127.5).mul_(1.0 - keep)
    # keep * x + (1 - keep) * max(x, y) = max(x, keep * x + (1 - keep) * y)
    out = torch.add(white, x, alpha=keep)
    return torch.maximum(x, out, out=out)


def add_flakes(white: Tensor, flakes: Tensor) -> Tensor:
    """(N, C, H, W) float32 and (N, 1, H, W) uint8 -> uint8: flakes as they are and turned by 180 degrees, cut off at 255."""
    falling = flakes.to(torch.float32)
    return (white + falling.add_(falling.flip(2, 3))).clamp_(max=255.0).to(torch.int16).to(torch.uint8)


def frost(images: Tensor, parameter: tuple[float, float, float], field: RandomField, *, textures: FrostTextures | None = None) -> Tensor:
    """keep * image + cover * crop, in grey levels: a random crop of a random picture of frost over the image.

    Args:
        images: (N, C, H, W) uint8.
        parameter: keep, cover, and the share of their size to which the pictures are resized first.
        field: of the images.
        textures: the pictures; by default `FrostTextures.procedural()`.

    Raises:
        DataError: the pictures are smaller than the images.
    """
    keep, cover, scale = parameter
    textures = FrostTextures.procedural() if textures is None else textures
    ice = textures.crops(field, images, scale).to(torch.float64).mul_(cover)
    return images.to(torch.float64).mul_(keep).add_(ice).clamp_(max=255.0).to(torch.uint8)


def fog(images: Tensor, parameter: tuple[float, float], field: RandomField) -> Tensor:
    """(x + amount * clouds) * max / (max + amount): a plasma fractal over the image, scaled so that its brightest value stays.

    Args:
        images: (N, C, H, W) uint8; max is the largest value of an image over all its channels.
        parameter: amount of fog, and the decay of `plasma_fractal`, whose top left corner of H x W pixels is used.
        field: of the images.
    """
    amount, decay = 255.0 * parameter[0], parameter[1]
    height, width = images.shape[2:]
    clouds = plasma_fractal(field, plasma_side(height, width), decay)[:, None, :height, :width]
    brightest = images.flatten(1).amax(1).to(torch.float32)[:, None, None, None]
    # At most `brightest`, so nothing is to be clipped.
    return images.to(torch.float32).add_(clouds, alpha=amount).mul_(brightest / (brightest + amount)).to(torch.uint8)
