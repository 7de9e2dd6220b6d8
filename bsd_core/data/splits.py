"""train / val / test: stratified, seeded, disjoint."""

from __future__ import annotations

import numpy as np

from bsd_core.data.images import ImageSet, Int64
from bsd_core.errors import ConfigError, require
from bsd_core.seeds import numpy_stream


def stratified_split(targets: Int64, n_held: int, *, seed: int) -> tuple[Int64, Int64]:
    """Split row numbers into (rest, held) so that `held` has `n_held` rows with every class in its share of the whole.

    Classes get the floor of their share; what is left goes to the largest remainders (ties: the smaller class number).

    Args:
        targets: (N,) int64.
        n_held: rows to hold out, in [0, N].
        seed: which rows of a class are held out depends on this and on the class alone.

    Returns:
        Two sorted int64 arrays, disjoint, together all of range(N).
    """
    require(0 <= n_held <= len(targets), "0 <= n_held <= N", n_held=n_held, N=len(targets))
    classes, counts = np.unique(targets, return_counts=True)
    take, remainder = np.divmod(counts * n_held, max(1, len(targets)))  # whole numbers: ties stay ties
    largest = np.argsort(-remainder, kind="stable")[: n_held - int(take.sum())]
    take[largest] += 1
    held = [
        numpy_stream(seed, "split", label).permutation(np.flatnonzero(targets == label))[:n]
        for label, n in zip(classes.tolist(), take.tolist(), strict=True)
    ]
    held_rows = np.sort(np.concatenate([*held, np.empty(0, dtype=np.int64)]))
    return np.setdiff1d(np.arange(len(targets)), held_rows), held_rows


def subset_rows(targets: Int64, n: int | None, *, seed: int) -> Int64:
    """(n,) sorted rows of a stratified, seeded subset of `n` images, or all rows where `n` is None.

    Args:
        targets: (N,) int64.
        n: in [1, N], or None.
        seed: see `stratified_split`.

    Raises:
        ConfigError: fewer than one, or more than there are.
    """
    if n is None or n == len(targets):
        return np.arange(len(targets))
    require(1 <= n <= len(targets), f"1 <= train_images <= {len(targets)}, the images there are,", train_images=n)
    return stratified_split(targets, n, seed=seed)[1]


def split_rows(targets: Int64, val_fraction: float, *, seed: int) -> tuple[Int64, Int64]:
    """Sorted rows of (train, val): disjoint, together all of range(N).

    Of a subset, `rows = subset_rows(...)`, the rows in the official training set are `rows[train]` and `rows[val]`.

    Raises:
        ConfigError: the fraction is not in (0, 1), or leaves one of the two without images.
    """
    require(0 < val_fraction < 1, "0 < val_fraction < 1", val_fraction=val_fraction)
    n_val = round(val_fraction * len(targets))
    if not 0 < n_val < len(targets):
        raise ConfigError(
            f"val_fraction={val_fraction:g} of {len(targets)} images leaves none for {'training' if n_val else 'validation'}."
        )
    return stratified_split(targets, n_val, seed=seed)


def subset(images: ImageSet, n: int | None, *, seed: int) -> ImageSet:
    """The images of `subset_rows`; the same object where that is all of them."""
    rows = subset_rows(images.targets, n, seed=seed)
    return images if len(rows) == len(images) else images.select(rows)


def split_train_val(images: ImageSet, val_fraction: float, *, seed: int) -> tuple[ImageSet, ImageSet]:
    """Split the official training images into (train, val) by `split_rows`; the test split is never touched here."""
    train, val = split_rows(images.targets, val_fraction, seed=seed)
    return images.select(train), images.select(val)
