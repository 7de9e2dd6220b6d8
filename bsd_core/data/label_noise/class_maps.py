"""Which class each class is mistaken for."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any, Final

import numpy as np

from bsd_core.data.images import Int64
from bsd_core.errors import ConfigError, require

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


def mapping_table(mapping: Mapping[int, int] | None, n_classes: int) -> Int64:
    """(K,) wrong label by true label; classes that `mapping` leaves out map to themselves.

    Args:
        mapping: None: CIFAR-10's map at 10 classes, CIFAR-100's at 100.
        n_classes: K.

    Raises:
        ConfigError: no map is known, or it is empty, not one of whole numbers, leaves the classes, or maps a class to itself.
    """
    if mapping is None:
        known: dict[int, Mapping[int, int]] = {10: ASYMMETRIC_MAPS["cifar10"], 100: ASYMMETRIC_MAPS["cifar100"]}
        if n_classes not in known:
            raise ConfigError(
                f"Asymmetric noise must know which class each class is mistaken for, and no map is known for {n_classes} classes. "
                "Give one: mapping: {0: 1, 1: 0, ...}."
            )
        mapping = known[n_classes]
    if not _is_of_whole_numbers(mapping) or not mapping:
        raise ConfigError(
            f"A map of classes says in whole numbers which class each is mistaken for, {{0: 1, 1: 0, ...}}, but got {mapping!r}."
        )
    table = np.arange(n_classes)
    for true, wrong in mapping.items():
        in_range = 0 <= true < n_classes and 0 <= wrong < n_classes
        require(in_range and true != wrong, f"0 <= class < {n_classes}, mapped to another class", mapping={true: wrong})
        table[true] = wrong
    return table


def _is_of_whole_numbers(mapping: Any) -> bool:
    return isinstance(mapping, Mapping) and all(
        isinstance(label, Integral) and not isinstance(label, bool) for pair in mapping.items() for label in pair
    )


def next_class_table(n_classes: int) -> Int64:
    """(K,) the next class by number, the last one to class 0 (pair flip)."""
    return (np.arange(n_classes) + 1) % n_classes
