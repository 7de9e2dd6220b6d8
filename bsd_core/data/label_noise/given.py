"""The labels that a training is given: by kind of noise, for all splits at once, with the record of where they come from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bsd_core.data.images import ImageSet, Int64
from bsd_core.data.label_noise.human import human_labels
from bsd_core.data.label_noise.instance import check_instance_size, instance_features
from bsd_core.data.label_noise.kinds import check_spoils_any
from bsd_core.data.label_noise.record import NoiseRecord, file_details
from bsd_core.data.label_noise.saved import load_labels
from bsd_core.data.label_noise.spoil import spoil_labels
from bsd_core.data.label_noise.transition import load_transition_matrix
from bsd_core.seeds import derive_seed


@dataclass(frozen=True, eq=False)
class Split:
    """Images with true labels, and where they stand in the official training set.

    Attributes:
        images: (N, ...).
        rows: (N,) int64.
    """

    images: ImageSet
    rows: Int64


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Which noise, with all that its kind needs.

    Attributes:
        kind: one of `NOISE_KINDS`, or `saved`.
        rate: as for `spoil_labels`.
        mapping: of asymmetric noise.
        labels: of human labels, one of `HUMAN_SETS`.
        file: of human, confusion and saved.
    """

    kind: str
    rate: float = 0.0
    mapping: Mapping[int, int] | None = None
    labels: str | None = None
    file: Path | None = None


def given_labels(noise: Noise, splits: Mapping[str, Split], *, official: Int64, seed: int) -> tuple[dict[str, Int64], NoiseRecord]:
    """The labels of each split: a function of the data, the noise and the seed, whoever trains on them.

    Human labels, saved ones and those of `instance` noise are labels of all images at once: splits share what made them wrong. The other
    kinds spoil each split by itself, so that an exact share of wrong labels is exact in every one.

    Args:
        noise: complete: an asymmetric one has its map, human ones their file.
        splits: by name; the first one trains.
        official: (M,) int64, true labels of the official training set, which `rows` of the splits number.
        seed: root of all randomness; the noise derives its own streams from it.

    Returns:
        (N,) int64 by split, and where they come from; of saved ones, where they first came from.

    Raises:
        ConfigError, DataError: noise that these data cannot have, or a file that is not of these data.
    """
    first = next(iter(splits.values())).images
    if noise.kind == "saved":
        assert noise.file is not None
        wanted = {name: (split.rows, split.images.targets) for name, split in splits.items()}
        return load_labels(noise.file, wanted, n_classes=first.n_classes)
    seeds: int | dict[str, int] = {name: derive_seed(seed, "noise", name) for name in splits}
    details: dict[str, Any] = {}
    if noise.kind == "human":
        assert noise.file is not None
        assert noise.labels is not None
        every = human_labels(noise.file, noise.labels, targets=official, n_classes=first.n_classes)
        given = {name: every[split.rows] for name, split in splits.items()}
        details = {"labels": noise.labels, **file_details(noise.file)}
    elif noise.kind == "instance":
        seeds = derive_seed(seed, "noise")
        given = _instance_labels(noise.rate, splits, seeds)
    else:
        check_spoils_any(noise.kind, noise.rate, len(first))
        matrix = None
        if noise.kind == "confusion":
            assert noise.file is not None
            matrix, details = load_transition_matrix(noise.file, first.n_classes), dict(file_details(noise.file))
        if noise.kind == "asymmetric":
            details = {"mapping": dict(noise.mapping or {})}
        given = {
            name: spoil_labels(
                split.images.targets,
                noise.kind,
                noise.rate,
                n_classes=first.n_classes,
                seed=derive_seed(seed, "noise", name),
                mapping=noise.mapping,
                matrix=matrix,
            )
            for name, split in splits.items()
        }
    fingerprint = "".join(split.images.fingerprint() for split in splits.values())
    record = NoiseRecord(
        kind=noise.kind, rate=noise.rate, seed=seeds, n_classes=first.n_classes, data_fingerprint=fingerprint, details=details
    )
    return given, record


def _instance_labels(rate: float, splits: Mapping[str, Split], seed: int) -> dict[str, Int64]:
    images = [split.images for split in splits.values()]
    check_instance_size(images[0].n_classes, math.prod(images[0].images.shape[1:]))
    given = spoil_labels(
        np.concatenate([part.targets for part in images]),
        "instance",
        rate,
        n_classes=images[0].n_classes,
        seed=seed,
        features=instance_features(*(part.images for part in images)),
    )
    return dict(zip(splits, np.split(given, np.cumsum([len(part) for part in images])[:-1]), strict=True))
