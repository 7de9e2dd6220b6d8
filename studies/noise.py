"""The labels that each condition gives to the training and validation images of a study."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from bsd_core.data.images import ImageSet, Int64
from bsd_core.data.label_noise import (
    human_labels,
    instance_features,
    load_labels,
    load_transition_matrix,
    spoil_labels,
)
from bsd_core.data.sources import Source
from bsd_core.errors import ConfigError
from bsd_core.seeds import derive_seed
from studies.condition import Condition
from studies.spec import StudySpec

_HUMAN_FILES: Final = {"cifar10": "CIFAR-10_human.pt", "cifar100": "CIFAR-100_human.pt"}


@dataclass(frozen=True, eq=False)
class Split:
    """Images with true labels, and where they stand in the official training set.

    Attributes:
        images: (N, ...).
        rows: (N,) int64, sorted.
    """

    images: ImageSet
    rows: Int64


def given_labels(spec: StudySpec, condition: Condition, source: Source, splits: Mapping[str, Split]) -> dict[str, Int64]:
    """The labels of a condition, by split: a function of the data, the condition and the study's seed, whoever trains on them.

    Human labels, saved ones and those of `instance` noise are labels of all images at once: training and validation images share what
    made them wrong. The other kinds spoil each split by itself, so that the share of wrong labels is exact in both.

    Args:
        spec: of the study.
        condition: one of its conditions.
        source: of the images.
        splits: train and val.

    Raises:
        ConfigError, DataError: noise that these data cannot have, or a file that is not of these data.
    """
    n_classes = splits["train"].images.n_classes
    if condition.kind == "saved":
        assert condition.file is not None
        wanted = {name: (split.rows, split.images.targets) for name, split in splits.items()}
        return load_labels(Path(condition.file), wanted, n_classes=n_classes)[0]
    if condition.kind == "human":
        assert condition.labels is not None
        every = human_labels(_human_file(spec, condition), condition.labels, targets=source.train.targets, n_classes=n_classes)
        return {name: every[split.rows] for name, split in splits.items()}
    if condition.kind != "instance" and condition.rate and round(condition.rate * len(splits["train"].rows)) == 0:
        raise ConfigError(
            f"Condition {condition.name} would spoil none of the {len(splits['train'].rows)} training labels; raise its rate."
        )
    if condition.kind == "instance":
        return _instance_labels(spec, condition, splits)
    matrix = load_transition_matrix(Path(condition.file), n_classes) if condition.file is not None else None
    mapping = _mapping(spec, condition, source)
    return {
        name: spoil_labels(
            split.images.targets,
            condition.kind,
            condition.rate,
            n_classes=n_classes,
            seed=derive_seed(spec.seed, "noise", name),
            mapping=mapping,
            matrix=matrix,
        )
        for name, split in splits.items()
    }


def _human_file(spec: StudySpec, condition: Condition) -> Path:
    if condition.file is not None:
        return Path(condition.file)
    if spec.dataset not in _HUMAN_FILES:
        raise ConfigError(
            f"Human labels are released for {' and '.join(_HUMAN_FILES)}, but the data set is {spec.dataset!r}. If it holds the same "
            "images in the same order, give the file in the condition: {kind: human, labels: ..., file: ...}."
        )
    return Path(os.path.expanduser(spec.data_dir)) / _HUMAN_FILES[spec.dataset]


def _instance_labels(spec: StudySpec, condition: Condition, splits: Mapping[str, Split]) -> dict[str, Int64]:
    sizes = [len(split.rows) for split in splits.values()]
    given = spoil_labels(
        np.concatenate([split.images.targets for split in splits.values()]),
        "instance",
        condition.rate,
        n_classes=splits["train"].images.n_classes,
        seed=derive_seed(spec.seed, "noise"),
        features=np.concatenate([instance_features(split.images.images) for split in splits.values()]),
    )
    return dict(zip(splits, np.split(given, np.cumsum(sizes)[:-1]), strict=True))


def _mapping(spec: StudySpec, condition: Condition, source: Source) -> Mapping[int, int] | None:
    if condition.kind != "asymmetric":
        return None
    mapping = condition.mapping or source.asymmetric_map
    if mapping is None:
        raise ConfigError(
            f"Asymmetric noise must know which class each class is mistaken for, and {spec.dataset!r} brings no such map. "
            "Give one in the condition: {kind: asymmetric, rate: ..., mapping: {0: 1, 1: 0, ...}}."
        )
    return mapping
