"""Where images come from: `digits`, torchvision's small data sets, `svhn`, folders of image files, and Parquet files.

A source gives the official training images and the test images; splitting off validation images is `splits.py`'s work.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from bsd_core.config import AugmentConfig
from bsd_core.data.source_names import check_name
from bsd_core.data.sources.digits import load_digits
from bsd_core.data.sources.large import LAYOUTS, load_folder, published
from bsd_core.data.sources.parquet import load_parquet
from bsd_core.data.sources.source import Loader, Request, Source
from bsd_core.data.sources.svhn import load_svhn
from bsd_core.data.sources.torchvision_sets import torchvision_loader
from bsd_core.errors import BSDError, ConfigError, DataError, one_line, shown

__all__ = ["PATH_SOURCES", "SOURCES", "Source", "check_name", "load_source"]

SOURCES: Final[dict[str, Loader]] = {
    "cifar10": torchvision_loader("CIFAR10", AugmentConfig(crop_padding=4, flip=True)),
    "cifar100": torchvision_loader("CIFAR100", AugmentConfig(crop_padding=4, flip=True)),
    "cub200": published(LAYOUTS["cub200"]),
    "digits": load_digits,
    "fashion_mnist": torchvision_loader("FashionMNIST", AugmentConfig(crop_padding=2, flip=True)),
    "imagenet": published(LAYOUTS["imagenet"]),
    "mit67": published(LAYOUTS["mit67"]),
    "mnist": torchvision_loader("MNIST", AugmentConfig(crop_padding=2)),
    "stanford_dogs": published(LAYOUTS["stanford_dogs"]),
    "svhn": load_svhn,
    "tiny_imagenet": published(LAYOUTS["tiny_imagenet"]),
}
PATH_SOURCES: Final[dict[str, Loader]] = {"folder": load_folder, "parquet": load_parquet}


def load_source(name: str, *, data_dir: str | Path = "data", download: bool = True, image_size: int | None = None) -> Source:
    """Load the data set `name`.

    Args:
        name: one of `SOURCES`, `folder:<path>` or `parquet:<path>`.
        data_dir: where data sets lie, and the cache of decoded images.
        download: fetch torchvision's data sets and SVHN where they are missing.
        image_size: H and W in pixels, of image folders only; None: 64 for tiny_imagenet, otherwise 224.

    Raises:
        ConfigError: unknown name, or an image size for a data set whose images have one.
        DataError: files missing, unreadable or not in the expected form; the message says which and what to do.
        StorageError: the cache of decoded images cannot be written.
    """
    check_name(name)
    kind, _, path = name.partition(":")
    if image_size is not None and kind not in LAYOUTS and kind != "folder":
        raise ConfigError(f"{kind} has images of one size; image_size={image_size} is for folders of images.")
    folder = Path(os.path.expanduser(data_dir))
    request = Request(name=name, path=path, data_dir=folder, download=download, image_size=image_size)
    load = SOURCES[name] if name in SOURCES else PATH_SOURCES[kind]
    try:
        return load(request)
    except BSDError:
        raise
    except OSError as error:  # a folder that may not be entered, a name that no file can have, a disk that fails
        raise DataError(f"{shown(name)} cannot be read ({one_line(error, limit=160)}).") from error
