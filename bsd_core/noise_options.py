"""The label noise that `python -m bsd_core` trains on."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bsd_core.data.images import ImageSet, Int64
from bsd_core.data.label_noise import (
    HUMAN_SETS,
    NOISE_KINDS,
    NoiseRecord,
    check_instance_size,
    check_spoils_any,
    file_details,
    human_labels,
    instance_features,
    load_labels,
    load_transition_matrix,
    spoil_labels,
)
from bsd_core.data.sources import Source
from bsd_core.errors import ConfigError, shown


def add_noise_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which training labels are wrong; validation labels are true."""
    parser.add_argument("--noise", default="none", choices=[*NOISE_KINDS, "saved"], help="kind of label noise on the training labels")
    parser.add_argument("--noise-rate", type=float, default=0.0, help="share of training labels that are wrong")
    parser.add_argument(
        "--noise-map", metavar="MAP", help="for asymmetric: what each class is mistaken for, as 0:1,1:0; or the data set's own"
    )
    parser.add_argument("--noise-file", metavar="FILE", help="for human (.pt, .npz), confusion (.csv, .json, .npy) and saved (.parquet)")
    parser.add_argument("--noise-set", choices=HUMAN_SETS, help="which labels of a file of human ones; noisy is CIFAR-100's")


@dataclass(frozen=True, kw_only=True)
class TrainingNoise:
    """Which noise the training labels have.

    Attributes:
        kind: one of `NOISE_KINDS`, or saved.
        rate: as for `spoil_labels`.
        file: of human labels, a confusion matrix or saved labels.
        labels: one of `HUMAN_SETS`.
        mapping: for asymmetric; the data set's own where None.
    """

    kind: str
    rate: float
    file: Path | None
    labels: str | None
    mapping: Mapping[int, int] | None

    @classmethod
    def parse(cls, options: argparse.Namespace) -> TrainingNoise:
        """From the options of `add_noise_options`.

        Raises:
            ConfigError: options that do not go together, or a map that is none.
        """
        kind = options.noise
        needs = ("file",) if kind == "saved" else NOISE_KINDS[kind].needs
        if ("rate" in needs) != (options.noise_rate != 0):
            raise ConfigError(
                f"Give --noise and --noise-rate together, but got --noise {kind} --noise-rate {options.noise_rate:g}."
                if "rate" in needs or kind == "none"
                else f"--noise {kind} takes no --noise-rate: the file says which labels are wrong, but got --noise-rate "
                f"{options.noise_rate:g}."
            )
        for option, value, wanted in (
            ("--noise-file", options.noise_file, "file" in needs or "matrix" in needs),
            ("--noise-set", options.noise_set, kind == "human"),
        ):
            if wanted != (value is not None):
                raise ConfigError(f"--noise {kind} {'needs' if wanted else 'takes no'} {option}.")
        if options.noise_map is not None and kind != "asymmetric":
            raise ConfigError(f"--noise {kind} takes no --noise-map.")
        return cls(
            kind=kind,
            rate=options.noise_rate,
            file=None if options.noise_file is None else Path(options.noise_file),
            labels=options.noise_set,
            mapping=None if options.noise_map is None else _parsed_map(options.noise_map),
        )

    def given_labels(self, source: Source, train: ImageSet, rows: Int64, *, seed: int) -> tuple[Int64, NoiseRecord]:
        """The labels that are trained on, (N,) int64, and where they come from: of saved ones, where they first came from.

        Args:
            source: of the images.
            train: the N images that are trained on.
            rows: (N,) int64, theirs in the official training set.
            seed: of noise that is drawn.

        Raises:
            ConfigError, DataError: noise that these data cannot have, or a file that is not of these data.
        """
        n_classes = train.n_classes
        if self.kind == "saved":
            assert self.file is not None
            labels, record = load_labels(self.file, {"train": (rows, train.targets)}, n_classes=n_classes)
            return labels["train"], record
        check_spoils_any(self.kind, self.rate, len(train))
        given, details = self._made(source, train, rows, seed)
        return given, NoiseRecord(
            kind=self.kind, rate=self.rate, seed=seed, n_classes=n_classes, data_fingerprint=train.fingerprint(), details=details
        )

    def _made(self, source: Source, train: ImageSet, rows: Int64, seed: int) -> tuple[Int64, dict[str, Any]]:
        """The labels, and what made them besides rate and seed."""
        n_classes = train.n_classes
        inputs: dict[str, Any] = {}
        details: dict[str, Any] = {}
        if self.kind == "human":
            assert self.file is not None
            assert self.labels is not None
            given = human_labels(self.file, self.labels, targets=source.train.targets, n_classes=n_classes, rows=rows)
            return given, {"labels": self.labels, **file_details(self.file)}
        if self.kind == "asymmetric":
            inputs["mapping"] = details["mapping"] = dict(self._mapping(source))
        elif self.kind == "instance":
            check_instance_size(n_classes, math.prod(train.images.shape[1:]))
            inputs["features"] = instance_features(train.images)
        elif self.kind == "confusion":
            assert self.file is not None
            inputs["matrix"] = load_transition_matrix(self.file, n_classes)
            details = dict(file_details(self.file))
        return spoil_labels(train.targets, self.kind, self.rate, n_classes=n_classes, seed=seed, **inputs), details

    def _mapping(self, source: Source) -> Mapping[int, int]:
        mapping = source.asymmetric_map if self.mapping is None else self.mapping
        if mapping is None:
            raise ConfigError(
                f"Asymmetric noise must know which class each class is mistaken for, and {source.name!r} brings no such map. "
                "Give one: --noise-map 0:1,1:0."
            )
        return mapping


def _parsed_map(text: str) -> dict[int, int]:
    """{0: 1, 1: 0} of "0:1,1:0"."""
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[0-9]{1,9}\s*:\s*[0-9]{1,9}", part) for part in parts):
        raise ConfigError(f"--noise-map says by class numbers what each class is mistaken for, as 0:1,1:0, but got {shown(text)}.")
    mapping = {int(true): int(wrong) for true, wrong in (part.split(":") for part in parts)}
    if len(mapping) < len(parts):
        raise ConfigError(f"--noise-map names a class twice: {shown(text)}.")
    return mapping
