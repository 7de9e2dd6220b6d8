"""How features of one class lie to each other and to other classes, as `bsd_core.metrics.features` measures it, without Torch."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from studies.features import read_features

_SMALLEST: Final = 1e-12  # length of a feature, as Torch's `normalize` bounds it
_BLOCK: Final = 2**22  # similarities held at once: 32 MiB
_ALIKE: Final = 1e-12  # similarities that differ by less are equal: machines add in different orders

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


class FeatureQuality(NamedTuple):
    """Of the features of one network.

    Attributes:
        n_images: they are of.
        n_features: D.
        recall_at_1: see there; None of a single image.
        intra_class_variation: see there.
    """

    n_images: int
    n_features: int
    recall_at_1: float | None
    intra_class_variation: float


def recall_at_1(features: npt.NDArray[np.floating], labels: Int64) -> float:
    """Share of images whose nearest other image by cosine similarity has the same label, in [0, 1]; of equally near ones the first counts.

    Args:
        features: (N, D), finite; a row of zeros has similarity 0 to every other.
        labels: (N,) integers.

    Raises:
        ValueError: N < 2.

    References:
        As `bsd_core.metrics.features.recall_at_1` with metric "cosine".
    """
    if len(features) < 2:
        raise ValueError(f"A nearest other image needs at least 2 images, but got N = {len(features)}.")
    directions = _directions(features)
    nearest = np.empty(len(directions), dtype=np.int64)
    rows = np.arange(len(directions))
    for block in np.array_split(rows, -(-(len(rows) ** 2) // _BLOCK)):
        similarity = directions[block] @ directions.T
        similarity[block - block[0], block] = -np.inf
        nearest[block] = (similarity >= similarity.max(axis=1, keepdims=True) - _ALIKE).argmax(axis=1)
    return float((labels[nearest] == labels).mean())


def intra_class_variation(features: npt.NDArray[np.floating], labels: Int64) -> float:
    """Mean over classes of the mean squared distance of L2-normalised features to their class mean, in [0, 1]; less is closer together.

    Args:
        features: (N, D), finite, N >= 1; a row of zeros stays zero.
        labels: (N,) integers; each class that occurs counts the same.

    References:
        As `bsd_core.metrics.features.intra_class_variation`.
    """
    directions = _directions(features)
    members = (directions[labels == label] for label in np.unique(labels))
    return float(np.mean([np.square(own - own.mean(axis=0)).sum(axis=1).mean() for own in members]))


def feature_quality(folder: Path, trial_ids: dict[str, str]) -> dict[str, FeatureQuality]:
    """Recall@1 and intra-class variation of what is stored.

    Args:
        folder: tables/features of a run; it need not exist.
        trial_ids: by id of a chosen setting, that of the training whose features are kept.

    Returns:
        By id of the setting; without those of which no file is there.

    Raises:
        DataError: a file is broken.
    """
    found = {}
    for setting, trial_id in trial_ids.items():
        path = folder / f"{trial_id}.parquet"
        if path.is_file():
            stored = read_features(path)
            recall = recall_at_1(stored.values, stored.targets) if len(stored.rows) > 1 else None
            variation = intra_class_variation(stored.values, stored.targets)
            found[setting] = FeatureQuality(len(stored.rows), stored.values.shape[1], recall, variation)
    return found


def _directions(features: npt.NDArray[np.floating]) -> Float64:
    values = np.asarray(features, dtype=np.float64)
    directions: Float64 = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), _SMALLEST)
    return directions
