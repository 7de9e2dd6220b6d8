"""How many labels each kind of label noise makes wrong, and which rates suit it."""

from __future__ import annotations

import numpy as np

from bsd_core.data.label_noise.arrays import Numbers, as_indices
from bsd_core.data.label_noise.instance import mean_flip_rate
from bsd_core.data.label_noise.transition import check_transition_matrix
from bsd_core.data.noise_kinds import NOISE_KINDS
from bsd_core.errors import ConfigError, require, unknown_name


def check_kind_and_rate(kind: str, rate: float) -> None:
    """Whether the kind exists, and the rate suits it.

    Raises:
        ConfigError: unknown kind, rate outside [0, 1), or a rate for a kind that takes none.
    """
    if kind not in NOISE_KINDS:
        raise unknown_name("label noise", kind, NOISE_KINDS)
    require(0 <= rate < 1, "0 <= noise_rate < 1", noise_rate=rate)
    if "rate" not in NOISE_KINDS[kind].needs:
        source = "without noise" if kind == "none" else f"with {kind} noise, whose rate its file says,"
        require(rate == 0, f"noise_rate = 0 {source}", noise_rate=rate)


def check_spoils_any(kind: str, rate: float, n_labels: int) -> None:
    """Whether noise whose count is fixed, round(rate * N), is noise at all; of the other kinds nobody knows before it is drawn.

    Raises:
        ConfigError: the rate is above 0, but too low to spoil one label, or to draw one anew.
    """
    fixed = NOISE_KINDS[kind].exact or kind == "symmetric_inclusive"
    if fixed and rate and round(rate * n_labels) == 0:
        raise ConfigError(f"Noise {kind!r} at noise_rate={rate:g} would spoil none of the {n_labels} training labels. Raise the rate.")


def expected_rate(kind: str, rate: float = 0.0, *, n_classes: int, matrix: Numbers | None = None, targets: Numbers | None = None) -> float:
    """The share of labels that are wrong on average over seeds, in [0, 1).

    Exact kinds: `rate`, to within the rounding to whole labels. symmetric_inclusive: rate (K - 1) / K. instance: the mean of the flip
    rates' truncated normal, which is nearly `rate` between 0.2 and 0.8, but 0.13 at 0.1. confusion: 1 - sum_k share_k M_kk.

    Args:
        kind: one of `NOISE_KINDS`, but not human: those labels are counted, not expected.
        rate: as for `spoil_labels`.
        n_classes: K.
        matrix: (K, K), for confusion: an array, a tensor or lists.
        targets: (N,) integers, true labels, whose class shares weight the matrix's rows; equal shares where None or N is 0.

    Raises:
        ConfigError: unknown kind or rate, human labels, or no matrix for confusion.
        DataError: targets that are not integers in [0, n_classes), or see `check_transition_matrix`.
    """
    check_kind_and_rate(kind, rate)
    if kind == "human":
        raise ConfigError("The rate of human labels is not expected but counted: (given != true).mean().")
    if kind == "symmetric_inclusive":
        return rate * (n_classes - 1) / n_classes
    if kind == "instance":
        return mean_flip_rate(rate)
    if kind == "confusion":
        if matrix is None:
            raise ConfigError("Confusion noise needs a K x K matrix: matrix=load_transition_matrix(path, n_classes).")
        right = np.diag(check_transition_matrix(matrix, n_classes))
        of_samples = right if targets is None else right[as_indices(targets, n_classes, "labels")]
        return 1 - float(of_samples.mean() if len(of_samples) else right.mean())
    return rate
