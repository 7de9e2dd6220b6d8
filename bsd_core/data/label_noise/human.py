"""Labels that people gave: the files of CIFAR-N (Wei et al., ICLR 2022), `CIFAR-10_human.pt` and `CIFAR-100_human.pt`.

A file is a dictionary of int64 arrays of length 50,000 in the order of the original training batches, written by torch.save; .npz files
with the same names are read too. The files are not part of this project (their licence is CC BY-NC 4.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from bsd_core.data.images import Int64
from bsd_core.data.label_noise.unpickle import read_integer_arrays
from bsd_core.errors import ConfigError, DataError, shown, unknown_name

# Set -> its name in the files, with the share of wrong labels that the authors' files have.
HUMAN_SETS: Final[Mapping[str, str]] = {
    "aggre": "aggre_label",  # CIFAR-10: majority of three, 9.01 % wrong
    "random1": "random_label1",  # CIFAR-10: the first answer, 17.23 %
    "random2": "random_label2",  # 18.12 %
    "random3": "random_label3",  # 17.64 %
    "worse": "worse_label",  # CIFAR-10: a wrong one of the three where there is one, 40.21 %
    "noisy": "noisy_label",  # CIFAR-100: the one answer, 40.20 %
}
_CLEAN: Final = "clean_label"


def human_labels(path: Path, name: str, *, targets: Int64, n_classes: int, rows: Int64 | None = None) -> Int64:
    """The labels that people gave to the training images of CIFAR-10 or CIFAR-100; how many are wrong is what the file says.

    The file is read as data, never as code.

    Args:
        path: a CIFAR-N file, .pt or .npz.
        name: one of `HUMAN_SETS`.
        targets: (M,) int64, the data set's own labels of the whole official training set, in its order.
        n_classes: K.
        rows: (N,) int64 in [0, M), the official rows of the images that are used; all where None.

    Returns:
        (N,) int64 in [0, K).

    Raises:
        ConfigError: an unknown set, or one that this file has not.
        DataError: no such file, one that is not of this form or holds more than numbers, or one of another data set, length or order.
    """
    if name not in HUMAN_SETS:
        raise unknown_name("set of human labels", name, HUMAN_SETS)
    content = _read(path)
    clean = _labels(path, content, _CLEAN)
    _check_same_data(path, clean, targets)
    if HUMAN_SETS[name] not in content:
        there = ", ".join(known for known, key in HUMAN_SETS.items() if key in content) or "none of ours"
        raise ConfigError(f"{path}: has no human labels {name!r}. It has: {there}.")
    given = _labels(path, content, HUMAN_SETS[name])
    if len(given) != len(clean):
        raise DataError(f"{path}: {HUMAN_SETS[name]!r} has {len(given)} labels, but {_CLEAN!r} has {len(clean)}.")
    if not 0 <= given.min(initial=0) <= given.max(initial=0) < n_classes:
        raise DataError(f"{path}: labels must lie in [0, {n_classes}), but run from {given.min()} to {given.max()}.")
    return given if rows is None else given[rows]


def _check_same_data(path: Path, clean: Int64, targets: Int64) -> None:
    if len(clean) != len(targets):
        raise DataError(
            f"{path}: human labels of {len(clean)} images, but the official training set here has {len(targets)}. "
            "Is it of another data set?"
        )
    differ = np.flatnonzero(clean != targets)
    if len(differ):
        row = int(differ[0])
        raise DataError(
            f"{path}: its {_CLEAN!r} differs from the data set's labels at {len(differ)} of {len(targets)} images; the first is row {row}, "
            f"{clean[row]} in the file and {targets[row]} here. Is it of another data set, or are the images in another order than in the "
            "original training batches?"
        )


def _read(path: Path) -> Mapping[str, Any]:
    """The arrays of a file by their names."""
    if not path.is_file():
        raise DataError(f"No such file: {shown(path, limit=300)}.")
    if path.suffix not in (".npz", ".pt"):
        raise DataError(f"Human labels are read from .pt and .npz files, but got {shown(path, limit=300)}.")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        return read_integer_arrays(path)
    except Exception as error:  # torch raises whatever a foreign file makes it stumble over
        # Not torch's own words: they advise to read the file in a way that would execute what is in it.
        raise DataError(f"{path}: refused, and nothing in it was executed: damaged, or it holds more than arrays of integers.") from error


def _labels(path: Path, content: Mapping[str, Any], key: str) -> Int64:
    if key not in content:
        raise DataError(
            f"{path}: has no {key!r}, so it is no CIFAR-N file. It has: {', '.join(shown(name) for name in list(content)[:8])}."
        )
    labels = content[key]
    if not isinstance(labels, np.ndarray) or labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        what = f"{labels.dtype} {labels.shape}" if isinstance(labels, np.ndarray) else f"a {type(labels).__name__}"
        raise DataError(f"{path}: expected {key!r} as an integer array of shape (M,), but it is {what}.")
    return labels.astype(np.int64)
