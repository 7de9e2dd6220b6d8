"""Mean and spread of each channel, counted chunk by chunk, so that the whole set is never in memory at once."""

from __future__ import annotations

import math
from typing import Final, Protocol

import torch
from torch import Tensor

_CHUNK_BYTES: Final = 16 << 20


class Rows(Protocol):
    """Images by their row numbers: a tensor, or images that stay on the host."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, rows: Tensor) -> Tensor:
        """(n,) int64 -> (n, C, H, W) uint8."""


def channel_mean_and_std(images: Rows, *, max_images: int | None = None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel's pixels in [0, 1], by an exact count of the 256 grey levels.

    Args:
        images: (N, C, H, W) uint8, N at least 1. About 16 MiB of it are in memory at a time.
        max_images: count at most so many images, evenly spaced; all where None.

    Returns:
        (C,) and (C,) float32 on the CPU. The spread is at least 1e-3, so a constant channel stays finite.
    """
    n = len(images)
    rows = torch.arange(0, n, 1 if max_images is None else math.ceil(n / max_images))
    first = images[rows[:1]]
    counts = torch.zeros((first.shape[1], 256), dtype=torch.int64)
    for chunk in torch.split(rows, max(1, _CHUNK_BYTES // first.numel())):
        pixels = images[chunk]
        for channel in range(len(counts)):
            counts[channel] += torch.bincount(pixels[:, channel].reshape(-1), minlength=256).cpu()
    levels = torch.arange(256, dtype=torch.float64) / 255
    shares = counts.double() / counts.sum(1, keepdim=True)  # (C, 256)
    mean = (shares * levels).sum(1)
    std = (shares * (levels - mean[:, None]) ** 2).sum(1).sqrt()
    return mean.float(), std.clamp_min(1e-3).float()
