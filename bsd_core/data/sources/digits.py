"""`digits`: the data set that is always there."""

from __future__ import annotations

import numpy as np

from bsd_core.config import AugmentConfig
from bsd_core.data.images import ImageSet
from bsd_core.data.label_noise import ASYMMETRIC_MAPS
from bsd_core.data.sources.source import Request, Source, hold_out_test


def load_digits(request: Request) -> Source:
    """scikit-learn's copy of the UCI handwritten digits: 1,797 grey images of 8x8 pixels with 17 levels, no download."""
    from sklearn import datasets

    bunch = datasets.load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    images = ImageSet(np.ascontiguousarray(pixels), bunch.target.astype(np.int64), 10)
    return hold_out_test(
        request.name,
        images,
        class_names=tuple("0123456789"),
        augment=AugmentConfig(crop_padding=1),
        asymmetric_map=ASYMMETRIC_MAPS["digits"],
    )
