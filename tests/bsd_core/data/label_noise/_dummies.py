"""Labels for the tests of label noise, and what was made of them."""

from __future__ import annotations

import numpy as np

from tests._dummies import Float64, Int64


def make_balanced(n: int, n_classes: int) -> Int64:
    return np.arange(n, dtype=np.int64) % n_classes


def transition_matrix(true: Int64, given: Int64, n_classes: int) -> Float64:
    """(K, K) share of each given label among the samples of each true class."""
    counts = np.zeros((n_classes, n_classes))
    for true_label, given_label in zip(true.tolist(), given.tolist(), strict=True):
        counts[true_label, given_label] += 1
    shares: Float64 = counts / counts.sum(1, keepdims=True)
    return shares


def assert_drawn_from(matrix: Float64, true: Int64, given: Int64) -> None:
    """Each cell's share lies within five standard deviations of its probability; impossible cells are empty."""
    per_class = np.bincount(true, minlength=len(matrix))[:, None]
    tolerance = 5 * np.sqrt(matrix * (1 - matrix) / per_class)
    assert np.all(np.abs(transition_matrix(true, given, len(matrix)) - matrix) <= tolerance + 1e-12)
