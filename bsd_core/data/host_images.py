"""How images reach the device that trains: all at once where they are in memory, batch by batch where they are mapped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bsd_core.data.images import MappedImages, Pixels


@dataclass(frozen=True, eq=False)
class HostImages:
    """Mapped images that look like a tensor on `device`: an index reads those rows from the file and sends only them.

    At any time one batch is in memory: its bytes here, and once more on the device. Indices that lie on a GPU are waited for.
    """

    images: MappedImages
    device: torch.device

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> torch.Size:
        """(N, C, H, W)."""
        return torch.Size(self.images.shape)

    @property
    def dtype(self) -> torch.dtype:
        """uint8, as the pixels are."""
        return torch.uint8

    def __getitem__(self, key: Tensor | slice) -> Tensor:
        """Rows as (n, C, H, W) uint8 on the device; `key` is a slice or (n,) int64 on any device."""
        rows = key if isinstance(key, slice) else np.asarray(key.cpu())
        pixels = torch.from_numpy(self.images[rows])
        if self.device.type == "cuda":
            return pixels.pin_memory().to(self.device, non_blocking=True)
        return pixels.to(self.device)


def to_device(images: Pixels, device: torch.device) -> Tensor | HostImages:
    """Images as a trainer takes them: a copy of an array on `device`, a view for mapped ones.

    A copy also on the CPU, since an array may lie in memory that other processes share.
    """
    if isinstance(images, MappedImages):
        return HostImages(images, device)
    return torch.tensor(images, device=device)
