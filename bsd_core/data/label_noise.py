"""Label noise: which training labels are wrong, and what they say instead.

`rate` is always the share of ALL labels that end up wrong. Two conventions of the literature differ from it:

- "symmetric 40 %" drawn over all classes, the true one included (DivideMix, ELR), spoils only 0.4 (K-1)/K of the labels.
- "asymmetric 40 %" on CIFAR-10 flips 40 % of five of the ten classes, 20 % of all labels: that is `asymmetric` at rate 0.2 here.

The number of wrong labels is exact, round(rate * N); which samples are spoiled depends on (labels, kind, rate, seed) alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from bsd_core.data.images import Int64
from bsd_core.errors import ConfigError, DataError, require, unknown_name
from bsd_core.seeds import numpy_stream

NOISE_KINDS: Final = ("asymmetric", "none", "symmetric")

# Fine label -> superclass of CIFAR-100 (Krizhevsky, 2009; the superclass list of the data set's own page).
# fmt: off
_CIFAR100_SUPERCLASS: Final = [
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7,
    6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10,
    16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16,
    12, 9, 13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13,
]
# fmt: on


def next_in_group(groups: list[int]) -> dict[int, int]:
    """Map every class to the next class (by number, cyclic) of the same group; `groups[k]` is the group of class k."""
    mapping = {}
    for group in set(groups):
        members = [label for label, own in enumerate(groups) if own == group]
        mapping.update(dict(zip(members, members[1:] + members[:1], strict=True)))
    return mapping


# What each class is mistaken for. CIFAR-10: Patrini et al. 2017, as in the code of ELR, DivideMix and CTRR (truck->automobile,
# bird->airplane, deer->horse, cat<->dog). CIFAR-100: next class inside the true superclass; the published loaders of ELR and SOP
# cycle blocks of five consecutive labels instead, which leaves the superclass for 94 of 100 classes. MNIST: Patrini et al.;
# the 8x8 digits use it too. Fashion-MNIST: our choice of look-alikes (boot->sneaker->sandal, pullover->shirt, coat<->dress).
ASYMMETRIC_MAPS: Final[Mapping[str, Mapping[int, int]]] = {
    "cifar10": {9: 1, 2: 0, 4: 7, 3: 5, 5: 3},
    "cifar100": next_in_group(_CIFAR100_SUPERCLASS),
    "mnist": {2: 7, 3: 8, 5: 6, 6: 5, 7: 1},
    "digits": {2: 7, 3: 8, 5: 6, 6: 5, 7: 1},
    "fashion_mnist": {9: 7, 7: 5, 2: 6, 4: 3, 3: 4},
}

Labels = TypeVar("Labels", Int64, torch.Tensor)


def spoil_labels(
    targets: Labels,
    kind: str,
    rate: float,
    *,
    n_classes: int,
    seed: int,
    mapping: Mapping[int, int] | None = None,
) -> Labels:
    """A copy of `targets` in which exactly round(rate * N) labels are wrong.

    symmetric: the wrong labels are drawn uniformly among the other K - 1 classes.
    asymmetric: a spoiled label of class k becomes `mapping[k]`; only classes in the map can be spoiled.

    Args:
        targets: (N,) int64, true labels in [0, n_classes); a NumPy array or a tensor, and the same kind comes back.
        kind: one of `NOISE_KINDS`; "none" needs rate 0.
        rate: share of all N labels that are wrong, in [0, 1).
        n_classes: K.
        seed: equal seeds give equal noise, whatever trains on it.
        mapping: wrong label by true label, for asymmetric. Default: CIFAR-10's map at 10 classes, CIFAR-100's at 100.

    Raises:
        ConfigError: unknown kind, rate outside [0, 1), a map that is missing, leaves the classes or maps a class to itself, or
            too few samples in the mapped classes for this rate.
        DataError: labels that are not integers in [0, n_classes).

    References:
        Patrini et al., CVPR 2017 (asymmetric); Han et al., NeurIPS 2018 (symmetric without the true class; there the count is random).
    """
    if kind not in NOISE_KINDS:
        raise unknown_name("label noise", kind, NOISE_KINDS)
    require(0 <= rate < 1, "0 <= noise_rate < 1", noise_rate=rate)
    require(kind != "none" or rate == 0, "noise_rate = 0 without noise", noise_rate=rate)
    require(n_classes >= 2, "n_classes >= 2", n_classes=n_classes)
    if isinstance(targets, torch.Tensor):
        spoiled = _spoil(_checked(targets.detach().cpu().numpy(), n_classes), kind, rate, n_classes, seed, mapping)
        return torch.from_numpy(spoiled).to(targets.device)
    return _spoil(_checked(np.asarray(targets), n_classes), kind, rate, n_classes, seed, mapping)


def _checked(targets: npt.NDArray[Any], n_classes: int) -> Int64:
    if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
        raise DataError(f"Expected integer labels of shape (N,), but got {targets.dtype} {targets.shape}.")
    if len(targets) and not 0 <= targets.min() <= targets.max() < n_classes:
        raise DataError(f"Labels must lie in [0, {n_classes}), but run from {targets.min()} to {targets.max()}.")
    return targets.astype(np.int64)


def _spoil(true: Int64, kind: str, rate: float, n_classes: int, seed: int, mapping: Mapping[int, int] | None) -> Int64:
    spoiled = true.copy()
    n_wrong = round(rate * len(true))
    if kind == "none" or n_wrong == 0:
        return spoiled
    stream = numpy_stream(seed, "label_noise", kind, rate)
    if kind == "symmetric":
        chosen = stream.permutation(len(true))[:n_wrong]
        spoiled[chosen] = (true[chosen] + stream.integers(1, n_classes, size=n_wrong)) % n_classes
        return spoiled
    table = _mapping_table(mapping, n_classes)
    candidates = np.flatnonzero(table[true] != true)
    if n_wrong > len(candidates):
        raise ConfigError(
            f"Asymmetric noise at noise_rate={rate} needs {n_wrong} labels to spoil, but only {len(candidates)} of {len(true)} "
            f"samples are of a class in the map. Lower the rate to {len(candidates) / len(true):.3f} or map more classes."
        )
    chosen = stream.permutation(candidates)[:n_wrong]
    spoiled[chosen] = table[true[chosen]]
    return spoiled


def _mapping_table(mapping: Mapping[int, int] | None, n_classes: int) -> Int64:
    """(K,) wrong label by true label; unmapped classes map to themselves."""
    if mapping is None:
        known: dict[int, Mapping[int, int]] = {10: ASYMMETRIC_MAPS["cifar10"], 100: ASYMMETRIC_MAPS["cifar100"]}
        if n_classes not in known:
            raise ConfigError(
                f"Asymmetric noise must know which class each class is mistaken for, and no map is known for {n_classes} classes. "
                "Give one: mapping: {0: 1, 1: 0, ...}."
            )
        mapping = known[n_classes]
    table = np.arange(n_classes)
    for true, wrong in mapping.items():
        in_range = 0 <= true < n_classes and 0 <= wrong < n_classes
        require(in_range and true != wrong, f"0 <= class < {n_classes}, mapped to another class", mapping={true: wrong})
        table[true] = wrong
    return table
