"""From a condition of a study file to the noise of its labels, with what it leaves to the data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from bsd_core.data.label_noise import Noise
from bsd_core.data.sources import Source
from bsd_core.errors import ConfigError
from studies.condition import Condition
from studies.spec import StudySpec

_HUMAN_FILES: Final = {"cifar10": "CIFAR-10_human.pt", "cifar100": "CIFAR-100_human.pt"}


def noise_of(spec: StudySpec, condition: Condition, source: Source) -> Noise:
    """The noise of a condition; an asymmetric one gets the data set's map, human labels the file beside the data.

    Raises:
        ConfigError: the data set has neither.
    """
    file = None if condition.file is None else Path(condition.file)
    mapping = condition.mapping
    if condition.kind == "human" and file is None:
        if spec.dataset not in _HUMAN_FILES:
            raise ConfigError(
                f"Human labels are released for {' and '.join(_HUMAN_FILES)}, but the data set is {spec.dataset!r}. If it holds the same "
                "images in the same order, give the file in the condition: {kind: human, labels: ..., file: ...}."
            )
        file = Path(os.path.expanduser(spec.data_dir)) / _HUMAN_FILES[spec.dataset]
    if condition.kind == "asymmetric" and mapping is None:
        if source.asymmetric_map is None:
            raise ConfigError(
                f"Asymmetric noise must know which class each class is mistaken for, and {spec.dataset!r} brings no such map. "
                "Give one in the condition: {kind: asymmetric, rate: ..., mapping: {0: 1, 1: 0, ...}}."
            )
        mapping = dict(source.asymmetric_map)
    return Noise(kind=condition.kind, rate=condition.rate, mapping=mapping, labels=condition.labels, file=file)
