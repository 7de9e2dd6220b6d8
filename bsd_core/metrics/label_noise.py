"""What a network made of the wrong labels among its training labels. N training images.

The results are None where no label is wrong: a share of no images is no number, and a training without noise has nothing to say.
"""

from __future__ import annotations

from torch import Tensor

from bsd_core.metrics.inputs import check_labels


def label_recovery(estimates: Tensor, true: Tensor, given: Tensor) -> float | None:
    """Among wrongly labelled images, the share whose label is estimated right, in [0, 1]; None where no label is wrong.

    Args:
        estimates: (N,) integers, the estimated labels: a network's predictions, or argmax of a method's own targets.
        true: (N,) integers.
        given: (N,) integers, the labels it was trained on.

    Raises:
        ValueError: see `check_labels`.
    """
    estimates, true, given = check_labels(estimates=estimates, true=true, given=given)
    return _share_of_wrong(estimates == true, true, given)


def memorised_fraction(predicted: Tensor, true: Tensor, given: Tensor) -> float | None:
    """Among wrongly labelled images, the share predicted as their wrong label, in [0, 1]; None where no label is wrong.

    With `label_recovery` of the same predictions it sums to at most 1; the rest is predicted as a third class.

    Args:
        predicted: (N,) integers, the network's predictions.
        true: (N,) integers.
        given: (N,) integers, the labels it was trained on.

    Raises:
        ValueError: see `check_labels`.

    References:
        Liu et al., NeurIPS 2020 (ELR).
    """
    predicted, true, given = check_labels(predicted=predicted, true=true, given=given)
    return _share_of_wrong(predicted == given, true, given)


def _share_of_wrong(chosen: Tensor, true: Tensor, given: Tensor) -> float | None:
    wrong = given != true
    return float(chosen[wrong].double().mean()) if bool(wrong.any()) else None
