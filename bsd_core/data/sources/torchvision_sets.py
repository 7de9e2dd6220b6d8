"""Small data sets that torchvision reads and fetches: CIFAR-10, CIFAR-100, Fashion-MNIST and MNIST."""

from __future__ import annotations

from typing import Any

import numpy as np

from bsd_core.config import AugmentConfig
from bsd_core.data.images import ImageSet
from bsd_core.data.label_noise import ASYMMETRIC_MAPS
from bsd_core.data.sources.download import download
from bsd_core.data.sources.source import Loader, Request, Source
from bsd_core.errors import DataError, NotDownloadedError, one_line


def torchvision_loader(class_name: str, augment: AugmentConfig) -> Loader:
    """A loader for `torchvision.datasets.<class_name>`, whose files lie in `data_dir` as torchvision keeps them."""

    def load(request: Request) -> Source:
        from torchvision import datasets

        name, data_dir, dataset = request.name, request.data_dir, getattr(datasets, class_name)

        def splits() -> list[Any]:
            try:
                return [dataset(root=str(data_dir), train=train, download=False) for train in (True, False)]
            except RuntimeError:  # torchvision's word for files that are missing or of another hash
                raise
            except Exception as error:
                # Not torch's own words: they advise to read the file in a way that would execute what is in it.
                reason = "they hold more than numbers" if "weights_only" in str(error) else one_line(error, limit=120)
                raise DataError(f"The {name} files in {str(data_dir)!r} are not readable ({reason}).") from error

        try:
            parts = splits()
        except RuntimeError as missing:
            if not request.download:
                raise NotDownloadedError(
                    f"No {name} files in {str(data_dir)!r} and download is off. Put torchvision's {class_name} files there, "
                    "set data_dir=..., or set download=true."
                ) from missing
            download(lambda: [dataset(root=str(data_dir), train=train, download=True) for train in (True, False)], name, data_dir)
            parts = splits()
        train, test = map(_image_set, parts)
        return Source(
            name=name,
            train=train,
            test=test,
            class_names=tuple(map(str, parts[0].classes)),
            augment=augment,
            asymmetric_map=ASYMMETRIC_MAPS[name],
        )

    return load


def _image_set(part: Any) -> ImageSet:
    pixels = np.asarray(part.data)
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    return ImageSet(np.ascontiguousarray(pixels), np.asarray(part.targets, dtype=np.int64), len(part.classes))
