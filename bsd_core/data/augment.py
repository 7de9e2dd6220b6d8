"""Augmentation and normalisation of whole batches, on the device the images are on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.config import AugmentConfig


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


@dataclass(frozen=True)
class Normaliser:
    """Per-channel standardisation with the mean and spread of the training split; x is in [0, 1].

    Attributes:
        mean, std: (C,) float32, of pixel values in [0, 1].
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def fit(cls, images: Tensor) -> Normaliser:
        """From (N, C, H, W) uint8 training images, by an exact count of the 256 grey levels of each channel."""
        levels = torch.arange(256, dtype=torch.float64) / 255
        means, stds = [], []
        for channel in range(images.shape[1]):
            counts = torch.bincount(images[:, channel].reshape(-1).to(torch.int64), minlength=256).cpu().double()
            shares = counts / counts.sum()
            mean = (shares * levels).sum()
            means.append(mean)
            stds.append(((shares * (levels - mean) ** 2).sum()).sqrt().clamp_min(1e-3))  # a constant channel stays finite
        return cls(torch.stack(means).float(), torch.stack(stds).float())

    def to(self, device: torch.device) -> Normaliser:
        """The same constants on `device`."""
        return Normaliser(self.mean.to(device), self.std.to(device))

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 -> float32, standardised, channels-last."""
        scale = (1.0 / (255.0 * self.std))[:, None, None]
        shift = (-self.mean / self.std)[:, None, None]
        floats = images.to(torch.float32, memory_format=torch.channels_last)
        return torch.addcmul(shift, floats, scale)
