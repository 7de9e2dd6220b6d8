"""The label noise that `python -m bsd_core` trains on."""

from __future__ import annotations

import argparse
import dataclasses
import re
from pathlib import Path

from bsd_core.data.label_noise import HUMAN_SETS, NOISE_KINDS, Noise
from bsd_core.data.sources import Source
from bsd_core.errors import ConfigError, shown


def add_noise_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which training labels are wrong. Networks are judged by true labels."""
    parser.add_argument("--noise", default="none", choices=[*NOISE_KINDS, "saved"], help="kind of label noise on the training labels")
    parser.add_argument("--noise-rate", type=float, default=0.0, help="share of training labels that are wrong")
    parser.add_argument(
        "--noise-map", metavar="MAP", help="for asymmetric: what each class is mistaken for, as 0:1,1:0; or the data set's own"
    )
    parser.add_argument("--noise-file", metavar="FILE", help="for human (.pt, .npz), confusion (.csv, .json, .npy) and saved (.parquet)")
    parser.add_argument("--noise-set", choices=HUMAN_SETS, help="which labels of a file of human ones; noisy is CIFAR-100's")


def parse_noise(options: argparse.Namespace) -> Noise:
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
            else f"--noise {kind} takes no --noise-rate: the file says which labels are wrong, but got --noise-rate {options.noise_rate:g}."
        )
    for option, value, wanted in (
        ("--noise-file", options.noise_file, "file" in needs or "matrix" in needs),
        ("--noise-set", options.noise_set, kind == "human"),
    ):
        if wanted != (value is not None):
            raise ConfigError(f"--noise {kind} {'needs' if wanted else 'takes no'} {option}.")
    if options.noise_map is not None and kind != "asymmetric":
        raise ConfigError(f"--noise {kind} takes no --noise-map.")
    return Noise(
        kind=kind,
        rate=options.noise_rate,
        file=None if options.noise_file is None else Path(options.noise_file),
        labels=options.noise_set,
        mapping=None if options.noise_map is None else _parsed_map(options.noise_map),
    )


def complete_noise(noise: Noise, source: Source) -> Noise:
    """With the data set's own map where asymmetric noise has none.

    Raises:
        ConfigError: the data set has none either.
    """
    if noise.kind != "asymmetric" or noise.mapping is not None:
        return noise
    if source.asymmetric_map is None:
        raise ConfigError(
            f"Asymmetric noise must know which class each class is mistaken for, and {source.name!r} brings no such map. "
            "Give one: --noise-map 0:1,1:0."
        )
    return dataclasses.replace(noise, mapping=dict(source.asymmetric_map))


def _parsed_map(text: str) -> dict[int, int]:
    """{0: 1, 1: 0} of "0:1,1:0"."""
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[0-9]{1,9}\s*:\s*[0-9]{1,9}", part) for part in parts):
        raise ConfigError(f"--noise-map says by class numbers what each class is mistaken for, as 0:1,1:0, but got {shown(text)}.")
    mapping = {int(true): int(wrong) for true, wrong in (part.split(":") for part in parts)}
    if len(mapping) < len(parts):
        raise ConfigError(f"--noise-map names a class twice: {shown(text)}.")
    return mapping
