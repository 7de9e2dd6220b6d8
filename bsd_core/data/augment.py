"""Augmentation and normalisation of whole batches, on the device the images are on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.config import AugmentConfig
from bsd_core.data.rand_augment import rand_augment, to_uint8
from bsd_core.data.statistics import Rows, channel_mean_and_std

HOST_SAMPLE: Final = 16_384  # images, evenly spaced: their mean is as good as one of a million, and a pass over ImageNet takes long


def augment(images: Tensor, config: AugmentConfig, generator: torch.Generator, *, fill: Tensor | None = None) -> Tensor:
    """All that `config` asks for, in this order: crop and flip, resized crop, RandAugment-lite, cutout.

    Args:
        images: (N, C, H, W) uint8.
        generator: on the device of `images`; nothing else is random, and nothing is drawn for what is off.
        fill: (C,) uint8, what cutout leaves: `Normaliser.mean_pixel` of the training split, which the reference's zeros after
            normalisation are, up to rounding; where None, the mean pixel of this batch.

    Returns:
        (N, C, H, W) uint8.
    """
    images = random_crop_and_flip(images, config, generator)
    if config.resized_crop:
        images = random_resized_crop(images, config.resized_crop, generator)
    if config.rand_augment:
        images = rand_augment(images, config.rand_augment, generator)
    if config.cutout:
        images = cutout(images, config.cutout, to_uint8(images.float().mean((0, 2, 3))) if fill is None else fill, generator)
    return images


def strong(config: AugmentConfig) -> AugmentConfig:
    """`config` for the strong views of contrastive methods: with RandAugment-lite of magnitude 5 or more.

    No cutout is added: two views of an image should show the same thing.
    """
    return dataclasses.replace(config, rand_augment=max(5, config.rand_augment))


def random_crop_and_flip(images: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Each image zero-padded, cropped back to its size at a random place, and flipped with probability 1/2.

    One gather for the whole batch: crop and flip are only a choice of rows and columns of the padded image.

    Args:
        images: (N, C, H, W) uint8.
        generator: on the device of `images`.

    Returns:
        (N, C, H, W) uint8 in channels-last memory order, which the convolutions prefer.
    """
    n, _, height, width = images.shape
    padding, device = config.crop_padding, images.device
    rows = torch.arange(height, device=device).expand(n, height)  # (N, H)
    columns = torch.arange(width, device=device).expand(n, width)  # (N, W)
    if padding:
        images = functional.pad(images, [padding] * 4)
        shift = torch.randint(0, 2 * padding + 1, (2, n, 1), device=device, generator=generator)
        rows, columns = rows + shift[0], columns + shift[1]
    if config.flip:
        mirrored = torch.rand((n, 1), device=device, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    if not padding and not config.flip:
        return images
    batch = torch.arange(n, device=device)[:, None, None]
    crops: Tensor = images.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]]  # (N, H, W, C)
    return crops.permute(0, 3, 1, 2)


def random_resized_crop(images: Tensor, least_area: float, generator: torch.Generator) -> Tensor:
    """Each image replaced by a random rectangle of itself, stretched back to the full size, bilinear.

    The share of the area is uniform in [`least_area`, 1] and the logarithm of width / height uniform between 3/4 and 4/3, as in
    torchvision's `RandomResizedCrop`. Different from it: a rectangle that is too wide or too high is cut to the image instead of drawn
    again, which would have to look at what was drawn, and the rectangle need not begin and end at whole pixels. No antialiasing is
    needed, since nothing shrinks.

    Args:
        images: (N, C, H, W) uint8.
        least_area: in (0, 1).
        generator: on the device of `images`.

    Returns:
        (N, C, H, W) uint8.
    """
    n, channels, height, width = images.shape
    uniform = torch.rand((4, n), device=images.device, generator=generator)
    area = (least_area + (1 - least_area) * uniform[0]) * (height * width)  # in pixels
    ratio = (4 / 3) ** (2 * uniform[1] - 1)
    shares = torch.stack([(area * ratio).sqrt() / width, (area / ratio).sqrt() / height]).clamp_max(1)  # (2, N) of width and height
    centres = (1 - shares) * (2 * uniform[2:] - 1)  # in [-1, 1], the coordinates of affine_grid, whose centre is 0
    theta = torch.zeros(n, 2, 3, device=images.device)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = shares[0], shares[1], centres.T
    grid = functional.affine_grid(theta, [n, channels, height, width], align_corners=False)
    return to_uint8(functional.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False))


def cutout(images: Tensor, side: int, fill: Tensor, generator: torch.Generator) -> Tensor:
    """Each image with one square of `side` pixels filled, its centre uniform over the image, cut where it leaves the image.

    DeVries & Taylor 2017 (uoguelph-mlrg/Cutout, util/cutout.py), whose square is one pixel smaller where `side` is odd.

    Args:
        images: (N, C, H, W) uint8.
        side: >= 1.
        fill: (C,) uint8.
        generator: on the device of `images`.

    Returns:
        (N, C, H, W) uint8.
    """
    n, _, height, width = images.shape

    def covered(size: int) -> Tensor:
        first = torch.randint(size, (n, 1), device=images.device, generator=generator) - side // 2
        place = torch.arange(size, device=images.device)
        return (place >= first) & (place < first + side)  # (N, size)

    hole = covered(height)[:, None, :, None] & covered(width)[:, None, None, :]  # (N, 1, H, W)
    return torch.where(hole, fill[:, None, None], images)


@dataclass(frozen=True)
class Normaliser:
    """Per-channel standardisation with the mean and spread of the training split; x is in [0, 1].

    Attributes:
        mean, std: (C,) float32, of pixel values in [0, 1].
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def fit(cls, images: Rows) -> Normaliser:
        """From (N, C, H, W) uint8 training images: of all that are in memory, of `HOST_SAMPLE` where they are read from the host."""
        return cls(*channel_mean_and_std(images, max_images=None if isinstance(images, Tensor) else HOST_SAMPLE))

    @property
    def mean_pixel(self) -> Tensor:
        """(C,) uint8, the pixel that normalises to zero, up to rounding."""
        return to_uint8(255 * self.mean)

    def to(self, device: torch.device) -> Normaliser:
        """The same constants on `device`."""
        return Normaliser(self.mean.to(device), self.std.to(device))

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 -> float32, standardised, channels-last."""
        scale = (1.0 / (255.0 * self.std))[:, None, None]
        shift = (-self.mean / self.std)[:, None, None]
        floats = images.to(torch.float32, memory_format=torch.channels_last)
        return torch.addcmul(shift, floats, scale)
