"""`svhn`: Street View House Numbers, cropped digits (Netzer et al., 2011), from its owners' MATLAB files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from bsd_core.config import AugmentConfig
from bsd_core.data.images import ImageSet
from bsd_core.data.sources.download import download
from bsd_core.data.sources.source import Request, Source
from bsd_core.errors import DataError, NotDownloadedError, one_line

_FILES: Final = {"train": "train_32x32.mat", "test": "test_32x32.mat"}


def load_svhn(request: Request) -> Source:
    """73,257 training and 26,032 test images; the `extra` images are left out, as in the papers compared here.

    Raises:
        NotDownloadedError: a file is neither in data_dir nor in data_dir/svhn, and download is off.
        DataError: a file is not in the published form, or could not be fetched.
    """
    folder = next((folder for folder in (request.data_dir / "svhn", request.data_dir) if _complete(folder)), request.data_dir)
    if not _complete(folder):
        if not request.download:
            missing = next(name for name in _FILES.values() if not (folder / name).is_file())
            raise NotDownloadedError(
                f"No svhn files in {str(folder)!r} and download is off: looked for {str(folder / missing)!r}. Expected "
                f"{' and '.join(_FILES.values())}, there or in svhn/; set data_dir=..., or set download=true."
            )
        from torchvision import datasets

        download(lambda: [datasets.SVHN(root=str(folder), split=split, download=True) for split in _FILES], request.name, folder)
    return Source(
        name=request.name,
        train=_read(folder / _FILES["train"]),
        test=_read(folder / _FILES["test"]),
        class_names=tuple("0123456789"),
        augment=AugmentConfig(crop_padding=4),  # never mirrored: digits
    )


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in _FILES.values())


def _read(path: Path) -> ImageSet:
    """X is (32, 32, 3, N), rows first; y is (N, 1) with 1 to 10, where 10 stands for the digit 0."""
    from scipy.io import loadmat

    try:
        content = loadmat(path)
        pixels, labels = np.asarray(content["X"]), np.asarray(content["y"]).astype(np.int64).reshape(-1)
    except Exception as error:
        raise DataError(f"{path}: not a readable MATLAB file with X and y ({one_line(error, limit=120)}).") from error
    if pixels.shape != (32, 32, 3, len(labels)) or pixels.dtype != np.uint8:
        got = f"{pixels.dtype} {pixels.shape} and {len(labels)} labels"
        raise DataError(f"{path}: expected uint8 X of shape (32, 32, 3, N) and N labels y, but got {got}.")
    if len(labels) and not 1 <= labels.min() <= labels.max() <= 10:
        raise DataError(f"{path}: labels must lie in [1, 10], but run from {labels.min()} to {labels.max()}.")
    return ImageSet(np.ascontiguousarray(pixels.transpose(3, 2, 0, 1)), labels % 10, 10)
