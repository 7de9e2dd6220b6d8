"""The in-memory data set: small images live in memory as uint8 and are augmented as batches, so no loader process is needed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bsd_core.errors import DataError

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ImageSet:
    """Images and their labels.

    Args:
        images: (N, C, H, W) uint8, C is 1 or 3.
        targets: (N,) int64 in [0, n_classes).
        n_classes: K, at least 2; labels of every class need not occur.

    Raises:
        DataError: wrong rank, type, channel count, length, or a label outside [0, n_classes).
    """

    images: UInt8
    targets: Int64
    n_classes: int

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != np.uint8 or self.images.shape[1] not in (1, 3):
            raise DataError(
                f"Expected uint8 images of shape (N, C, H, W) with C = 1 or 3, but got {self.images.dtype} {self.images.shape}."
            )
        if self.targets.shape != (len(self.images),) or self.targets.dtype != np.int64:
            raise DataError(
                f"Expected one int64 label an image, shape ({len(self.images)},), but got {self.targets.dtype} {self.targets.shape}."
            )
        if self.n_classes < 2:
            raise DataError(f"A data set needs at least 2 classes, but got n_classes={self.n_classes}.")
        if len(self.targets):
            low, high = int(self.targets.min()), int(self.targets.max())
            if low < 0 or high >= self.n_classes:
                raise DataError(
                    f"Labels run from {low} to {high}, but the network has {self.n_classes} outputs (0 to {self.n_classes - 1})."
                )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def channels(self) -> int:
        """C: 1 (grey) or 3 (RGB)."""
        return int(self.images.shape[1])

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return int(self.images.shape[2]), int(self.images.shape[3])

    def select(self, indices: Int64) -> ImageSet:
        """The rows `indices`, copied."""
        return ImageSet(self.images[indices], self.targets[indices], self.n_classes)

    def fingerprint(self) -> str:
        """Hash of pixels, labels and shape: equal data, equal text, on every machine."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(f"{self.images.shape} {self.n_classes}".encode())
        digest.update(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.targets).data)
        return digest.hexdigest()
