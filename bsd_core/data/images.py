"""The data set of a study: pixels as uint8, in memory where they are few, in a mapped file where they are many."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bsd_core.errors import DataError, one_line

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class MappedImages:
    """Rows of an image file that stays on disk: the pages that are read belong to the system's page cache, not to this process.

    Pickles as a path and row numbers, so sending it costs nothing; the receiver must see the same file. It is opened on first use.

    Attributes:
        path: absolute, an .npy file of (M, C, H, W) uint8, with `digests` and `targets` beside it in an .npz file of the same name.
        image_shape: (C, H, W).
        rows: (N,) int64, which of the M images, in which order.
    """

    path: Path
    image_shape: tuple[int, ...]
    rows: Int64

    dtype: ClassVar[np.dtype[np.uint8]] = np.dtype(np.uint8)
    ndim: ClassVar[int] = 4

    @classmethod
    def open(cls, path: Path) -> MappedImages:
        """All rows of `path`.

        Raises:
            DataError: no such file, or not an .npy file of uint8 images.
        """
        pixels = _map_pixels(path)
        return cls(path.resolve(), pixels.shape[1:], np.arange(len(pixels)))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""
        return (len(self.rows), *self.image_shape)

    @property
    def nbytes(self) -> int:
        """Bytes that this object holds and that travel with it: the row numbers, not the pixels."""
        return self.rows.nbytes

    def __getitem__(self, key: int | slice | Int64) -> UInt8:
        """The images `key` chooses, copied into memory: (C, H, W) for a number, otherwise (n, C, H, W)."""
        pixels = self._pixels[self.rows[key]]  # a copy already, unless `key` is a number
        return np.array(pixels) if pixels.ndim == 3 else pixels

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> UInt8:
        """Refused, because a whole data set would come into memory unasked."""
        raise TypeError("Mapped images do not turn into an array by themselves. Read the rows you need, or all of them: images[:].")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_pixels"}

    def select(self, rows: Int64) -> MappedImages:
        """Some of these images, without reading them."""
        return MappedImages(self.path, self.image_shape, self.rows[rows])

    def digests(self) -> UInt64:
        """(N,) uint64, a hash of each image's pixels, made when the file was written."""
        with np.load(self.path.with_suffix(".npz")) as beside:
            digests: UInt64 = beside["digests"][self.rows]
        return digests

    @cached_property
    def _pixels(self) -> UInt8:
        return _map_pixels(self.path)


def _map_pixels(path: Path) -> UInt8:
    try:
        pixels: UInt8 = np.lib.format.open_memmap(path, mode="r")  # type: ignore[no-untyped-call,unused-ignore]
    except FileNotFoundError:
        raise DataError(
            f"The image cache {str(path)!r} is not on this machine. Load the data set here once, or keep data_dir on a shared disk."
        ) from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not a readable image cache ({one_line(error, limit=120)}). Delete it, and it is made again.") from error
    return pixels


Pixels = UInt8 | MappedImages  # (N, C, H, W)


@dataclass(frozen=True)
class ImageSet:
    """Images and their labels.

    Args:
        images: (N, C, H, W) uint8, C is 1 or 3; in memory or mapped.
        targets: (N,) int64 in [0, n_classes).
        n_classes: K, at least 2; labels of every class need not occur.

    Raises:
        DataError: wrong rank, type, channel count, length, or a label outside [0, n_classes).
    """

    images: Pixels
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
        """The rows `indices`: copied where the images are in memory, only noted where they are mapped."""
        images = self.images.select(indices) if isinstance(self.images, MappedImages) else self.images[indices]
        return ImageSet(images, self.targets[indices], self.n_classes)

    @property
    def array(self) -> UInt8:
        """The images in ordinary memory: read as a whole where they are mapped."""
        return self.images[:] if isinstance(self.images, MappedImages) else self.images

    def fingerprint(self) -> str:
        """Hash of pixels, labels and shape: equal data, equal text, on every machine.

        Of mapped images the stored hash of each image is hashed, so nothing is read; the text differs from that of the same images in
        memory.
        """
        digest = hashlib.blake2b(digest_size=8)
        digest.update(f"{self.images.shape} {self.n_classes}".encode())
        pixels = self.images.digests() if isinstance(self.images, MappedImages) else np.ascontiguousarray(self.images)
        digest.update(pixels.data)
        digest.update(np.ascontiguousarray(self.targets).data)
        return digest.hexdigest()
