"""Draw noisy labels of any kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch

from bsd_core.data.images import Int64
from bsd_core.data.label_noise.arrays import Numbers, as_indices
from bsd_core.data.label_noise.class_maps import mapping_table, next_class_table
from bsd_core.data.label_noise.instance import instance_labels
from bsd_core.data.label_noise.kinds import check_kind_and_rate
from bsd_core.data.label_noise.transition import check_transition_matrix, draw_by_class
from bsd_core.errors import ConfigError, require
from bsd_core.seeds import numpy_stream


@overload
def spoil_labels(
    targets: torch.Tensor,
    kind: str,
    rate: float = ...,
    *,
    n_classes: int,
    seed: int,
    mapping: Mapping[int, int] | None = ...,
    features: Numbers | None = ...,
    matrix: Numbers | None = ...,
) -> torch.Tensor: ...


@overload
def spoil_labels(
    targets: npt.NDArray[np.integer[Any]] | Sequence[int],
    kind: str,
    rate: float = ...,
    *,
    n_classes: int,
    seed: int,
    mapping: Mapping[int, int] | None = ...,
    features: Numbers | None = ...,
    matrix: Numbers | None = ...,
) -> Int64: ...


def spoil_labels(
    targets: npt.NDArray[np.integer[Any]] | torch.Tensor | Sequence[int],
    kind: str,
    rate: float = 0.0,
    *,
    n_classes: int,
    seed: int,
    mapping: Mapping[int, int] | None = None,
    features: Numbers | None = None,
    matrix: Numbers | None = None,
) -> Int64 | torch.Tensor:
    """A copy of `targets` with label noise.

    Exactly round(rate * N) labels are wrong with these kinds; which ones is uniform among those that can be:
        symmetric: a wrong label is drawn uniformly among the other K - 1 classes.
        asymmetric: a wrong label of class k is `mapping[k]`; only classes in the map can be spoiled.
        pairflip: a wrong label of class k is k + 1, of the last class 0.
    A random number is wrong with these; `expected_rate` gives the mean:
        symmetric_inclusive: round(rate * N) labels are drawn uniformly among all K classes, the true one included.
        instance: by a random projection of the image's features; see `instance_labels`.
        confusion: each label is drawn from its true class's row of `matrix`.
    Human labels are read, not drawn: see `human_labels`.

    Args:
        targets: (N,) integers, true labels in [0, n_classes): a tensor, and one on its device comes back, or an array
            or a list, and an array comes back; always int64.
        kind: one of `NOISE_KINDS`.
        rate: share of all N labels that are wrong (symmetric_inclusive: drawn anew; instance: mean flip rate before truncation), in
            [0, 1); 0 changes nothing. Kinds that need no rate take 0 only.
        n_classes: K.
        seed: equal seeds give equal noise, whatever trains on it.
        mapping: wrong label by true label, for asymmetric alone. Default: CIFAR-10's map at 10 classes, CIFAR-100's at 100.
        features: (N, d) floats, for instance alone: an array, a tensor or lists; see `instance_features`.
        matrix: (K, K) rows that sum to 1, for confusion alone: an array, a tensor or lists; see `load_transition_matrix`.

    Raises:
        ConfigError: unknown kind, rate outside [0, 1), a map that is missing, empty, not of whole numbers, leaves the classes or maps a
            class to itself, too few samples in the mapped classes for this rate, features or matrix missing where needed, or too many
            features.
        DataError: labels that are not integers in [0, n_classes), features of another length, a matrix that is no transition matrix.

    References:
        Patrini et al., CVPR 2017 (asymmetric); Han et al., NeurIPS 2018 (symmetric without the true class, pairflip; there the count is
        random); Xia et al., NeurIPS 2020 (instance).
    """
    check_kind_and_rate(kind, rate)
    require(n_classes >= 2, "n_classes >= 2", n_classes=n_classes)
    true = as_indices(targets, n_classes, "labels")
    if kind == "human":
        raise ConfigError("Human labels are read from a file, not drawn: use human_labels(path, name, ...).")
    if kind == "confusion":
        if matrix is None:
            raise ConfigError("Confusion noise needs a K x K matrix: matrix=load_transition_matrix(path, n_classes).")
        given = draw_by_class(true, check_transition_matrix(matrix, n_classes), numpy_stream(seed, "label_noise", kind))
    elif rate == 0:
        given = true
    elif kind == "instance":
        given = instance_labels(true, features, rate, n_classes=n_classes, seed=seed)
    else:
        given = _spoil_chosen(true, kind, rate, n_classes, numpy_stream(seed, "label_noise", kind, rate), mapping)
    return torch.from_numpy(given).to(targets.device) if isinstance(targets, torch.Tensor) else given


def _spoil_chosen(
    true: Int64, kind: str, rate: float, n_classes: int, stream: np.random.Generator, mapping: Mapping[int, int] | None
) -> Int64:
    """Choose round(rate * N) samples, then give each another label."""
    given = true.copy()
    n_chosen = round(rate * len(true))
    if kind in ("symmetric", "symmetric_inclusive"):
        chosen = stream.permutation(len(true))[:n_chosen]
        if kind == "symmetric":
            given[chosen] = (true[chosen] + stream.integers(1, n_classes, size=n_chosen)) % n_classes
        else:
            given[chosen] = stream.integers(0, n_classes, size=n_chosen)
        return given
    table = next_class_table(n_classes) if kind == "pairflip" else mapping_table(mapping, n_classes)
    candidates = np.flatnonzero(table[true] != true)
    if n_chosen > len(candidates):
        highest = len(candidates) * 1000 // len(true) / 1000  # rounded down, or it would be too high again
        way_out = f"Lower the rate to {highest:.3f} or map more classes." if highest else "Map more classes."
        raise ConfigError(
            f"Asymmetric noise at noise_rate={rate} needs {n_chosen} labels to spoil, but only {len(candidates)} of {len(true)} "
            f"samples are of a class in the map. {way_out}"
        )
    chosen = stream.permutation(candidates)[:n_chosen]
    given[chosen] = table[true[chosen]]
    return given
