"""Labels that people gave: the files of CIFAR-N (Wei et al., ICLR 2022), `CIFAR-10_human.pt` and `CIFAR-100_human.pt`.

A file is a dictionary of int64 arrays of length 50,000 in the order of the original training batches, written by torch.save; .npz files
with the same names are read too, and integer tensors in place of arrays.

The files are not part of this project (their licence is CC BY-NC 4.0).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bsd_core.data.images import Int64
from bsd_core.data.label_noise.arrays import Numbers, as_indices
from bsd_core.data.label_noise.stored import StoredArray, npz_arrays
from bsd_core.data.label_noise.unpickle import torch_arrays
from bsd_core.data.noise_kinds import HUMAN_SETS
from bsd_core.errors import ConfigError, DataError, one_line, shown, unknown_name

_CLEAN: Final = "clean_label"


def human_labels(path: Path, name: str, *, targets: Numbers, n_classes: int, rows: Numbers | None = None) -> Int64:
    """The labels that people gave to the training images of CIFAR-10 or CIFAR-100; how many are wrong is what the file says.

    The file is read as data, never as code, and nothing in it is looked at but the true labels and the wanted ones.

    Args:
        path: a CIFAR-N file, .pt or .npz, of integer arrays or tensors.
        name: one of `HUMAN_SETS`.
        targets: (M,) integers, the data set's own labels of the whole official training set, in its order.
        n_classes: K.
        rows: (N,) integers in [0, M), the official rows of the images that are used; all where None.

    Returns:
        (N,) int64 in [0, K).

    Raises:
        ConfigError: an unknown set, or one that this file has not.
        DataError: no such file, one that is not of this form or holds more than data, one of another data set, length or order, or
            targets or rows that are not integers in their range.
    """
    if name not in HUMAN_SETS:
        raise unknown_name("set of human labels", name, HUMAN_SETS)
    true = as_indices(targets, n_classes, "labels")
    chosen = slice(None) if rows is None else as_indices(rows, len(true), "rows of the official training set")
    content = _read(path, wanted=(_CLEAN, HUMAN_SETS[name]))
    if _CLEAN not in content:
        there = ", ".join(map(shown, list(content)[:8])) or "nothing"
        raise DataError(f"{path}: has no {_CLEAN!r}, so it is no CIFAR-N file. It has: {there}.")
    _check_same_data(path, content[_CLEAN], true)
    if HUMAN_SETS[name] not in content:
        there = ", ".join(known for known, key in HUMAN_SETS.items() if key in content) or "none of ours"
        raise ConfigError(f"{path}: has no human labels {name!r}. It has: {there}.")
    stored = _vector(path, HUMAN_SETS[name], content[HUMAN_SETS[name]])
    if len(true) != stored.shape[0]:
        raise DataError(f"{path}: {HUMAN_SETS[name]!r} has {stored.shape[0]} labels, but {_CLEAN!r} has {len(true)}.")
    try:
        return as_indices(_values(path, stored), n_classes, "labels")[chosen]
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _check_same_data(path: Path, stored: object, targets: Int64) -> None:
    vector = _vector(path, _CLEAN, stored)
    if vector.shape[0] != len(targets):
        raise DataError(
            f"{path}: human labels of {vector.shape[0]} images, but the official training set here has {len(targets)}. "
            "Is it of another data set?"
        )
    clean = _values(path, vector)
    differ = np.flatnonzero(clean != targets)
    if len(differ):
        row = int(differ[0])
        raise DataError(
            f"{path}: its {_CLEAN!r} differs from the data set's labels at {len(differ)} of {len(targets)} images; the first is row {row}, "
            f"{clean[row]} in the file and {targets[row]} here. Is it of another data set, or are the images in another order than in the "
            "original training batches?"
        )


def _read(path: Path, wanted: Collection[str]) -> Mapping[str, Any]:
    """What a file holds, by name; arrays are described, not read."""
    if not os.path.isfile(path):
        raise DataError(f"No such file: {shown(path, limit=300)}, from which human labels are to be read.")
    if path.suffix.lower() not in (".npz", ".pt"):
        raise DataError(f"Human labels are read from .pt and .npz files, but got {shown(path, limit=300)}.")
    try:
        return npz_arrays(path, wanted) if path.suffix.lower() == ".npz" else torch_arrays(path)
    except Exception as error:  # whatever a foreign file makes zipfile stumble over
        raise _refused(path, error) from error


def _vector(path: Path, key: str, stored: object) -> StoredArray:
    """`stored`, if it is an integer array of one axis."""
    if isinstance(stored, StoredArray) and stored.is_integer and len(stored.shape) == 1:
        return stored
    what = f"{stored.dtype} {stored.shape}" if isinstance(stored, StoredArray) else f"a {type(stored).__name__}"
    raise DataError(f"{path}: expected {key!r} as an integer array of shape (M,), but it is {what}.")


def _values(path: Path, stored: StoredArray) -> npt.NDArray[Any]:
    try:
        return stored.read()
    except Exception as error:  # as above
        raise _refused(path, error) from error


def _refused(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: refused, and nothing in it was executed: {one_line(error, limit=160).removesuffix('.')}.")
