"""Sequences that move the image: empty places are black. Deterministic."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bsd_core.robustness.perturbations.keys import N_FRAMES, Keys
from bsd_core.robustness.resampling import Affine, affine_about_center, images_first, pixels_first, resample_affine, resample_perspective

N_TRANSLATIONS = 16


def translate(images: Tensor, parameter: None, keys: Keys) -> Iterator[Tensor]:
    """Frame i is the image i - 7 pixels further to the right; 16 frames."""
    width = images.shape[3]
    for shift in range(-7, N_TRANSLATIONS - 7):
        out = torch.zeros_like(images, memory_format=torch.contiguous_format)
        if shift >= 0:
            out[..., shift:] = images[..., : max(0, width - shift)]
        else:
            out[..., :shift] = images[..., -shift:]
        yield out


def rotate(images: Tensor, parameter: None, keys: Keys) -> Iterator[Tensor]:
    """Frame i is turned by i - 15 degrees, clockwise."""
    height, width = images.shape[2:]
    return _affine_frames(images, [affine_about_center(height=height, width=width, degrees=i - 15) for i in range(N_FRAMES)])


def scale(images: Tensor, parameter: None, keys: Keys) -> Iterator[Tensor]:
    """Frame i is (70 + 2 i) % of the size."""
    height, width = images.shape[2:]
    return _affine_frames(images, [affine_about_center(height=height, width=width, scale=(70 + 2 * i) / 100) for i in range(N_FRAMES)])


def shear(images: Tensor, parameter: None, keys: Keys) -> Iterator[Tensor]:
    """Frame i is sheared by i - 15 degrees."""
    height, width = images.shape[2:]
    return _affine_frames(images, [affine_about_center(height=height, width=width, shear=i - 15) for i in range(N_FRAMES)])


def _affine_frames(images: Tensor, affines: list[Affine]) -> Iterator[Tensor]:
    height, width = images.shape[2:]
    pixels = pixels_first(images)
    for affine in affines:
        yield images_first(resample_affine(pixels, affine, height=height, width=width), images.shape)


def tilt(images: Tensor, parameter: None, keys: Keys) -> Iterator[Tensor]:
    """Frame i is seen from a camera turned by 0.75 (i - 15) degrees about both axes."""
    height, width = images.shape[2:]
    pixels = pixels_first(images)
    for i in range(N_FRAMES):
        matrix = tilt_matrix(0.75 * (i - 15), height=height, width=width)
        yield images_first(resample_perspective(pixels, matrix, height=height, width=width), images.shape)


def tilt_matrix(degrees: float, *, height: int, width: int) -> npt.NDArray[np.float64]:
    """(3, 3) homogeneous map of pixels when the image's plane is turned about both of its axes.

    The image lies one pixel behind the centre of rotation and its diagonal away from the camera; the focal length is the diagonal.
    """
    focal = np.sqrt(width**2 + height**2)
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    to_space = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    about_y = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    away = np.array([[0, 0, 0], [0, 0, 0], [0, 0, focal]])
    to_image = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    matrix: npt.NDArray[np.float64] = to_image @ (about_x @ about_y @ to_space + away)
    return matrix
