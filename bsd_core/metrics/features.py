"""How features of one class lie to each other and to other classes. N images, D features; results are float64 scalars."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.metrics.inputs import check_features

_CELLS = 2**22  # entries of a block of similarities: 32 MiB


def recall_at_1(features: Tensor, labels: Tensor, *, metric: Literal["euclidean", "cosine"] = "euclidean") -> Tensor:
    """Share of images whose nearest other image has the same label, in [0, 1].

    Blocks of rows are compared with all others, so memory grows with N, not with its square. Of equally near images the first counts,
    up to rounding.

    Args:
        features: (N, D).
        labels: (N,) integers.
        metric: "cosine" compares directions; a row of zeros then has similarity 0 to every other.

    Raises:
        ValueError: unknown `metric`, N < 2, or see `check_features`.

    References:
        Jégou et al., TPAMI 2011; reported for CS-KD (Yun et al., CVPR 2020), whose exact protocol is not published.
    """
    features, labels = check_features(features, labels)
    if len(features) < 2:
        raise ValueError("A nearest other image needs at least 2 images, but got N = 1.")
    if metric == "cosine":
        features = functional.normalize(features, dim=1)
    elif metric == "euclidean":
        features = features - features.mean(0)  # leaves distances as they are, and fewer digits to cancel
    else:
        raise ValueError(f"`metric` must be 'euclidean' or 'cosine', but got {metric!r}.")
    # The least |x - y|^2 is the greatest x.y - |y|^2 / 2.
    offset = features.square().sum(1) / 2 if metric == "euclidean" else features.new_zeros(len(features))
    rows = torch.arange(len(features), device=features.device)
    nearest = []
    for block in torch.split(rows, max(1, _CELLS // len(features))):
        similarity = features[block] @ features.T - offset  # (rows of the block, N)
        similarity[rows[: len(block)], block] = -torch.inf
        nearest.append(similarity.argmax(1))
    return (labels[torch.cat(nearest)] == labels).double().mean()


def intra_class_variation(features: Tensor, labels: Tensor) -> Tensor:
    """Mean over classes of the mean squared distance of L2-normalised features to their class mean, in [0, 1].

    0 where all images of a class point one way. Each class that occurs counts the same, however many images it has.

    Args:
        features: (N, D); a row of zeros stays zero.
        labels: (N,) integers.

    Raises:
        ValueError: see `check_features`.
    """
    features, labels = check_features(features, labels)
    return _within_class(*_by_class(features, labels))


def intra_inter_ratio(features: Tensor, labels: Tensor) -> Tensor:
    """`intra_class_variation` over the mean squared distance of the class means to their own mean; at least 0, less is better parted.

    Free of scale, so networks can be compared that fill a different part of the sphere. Infinite where all class means coincide.

    Args:
        features: (N, D); a row of zeros stays zero.
        labels: (N,) integers of at least 2 classes.

    Raises:
        ValueError: fewer than 2 classes, or see `check_features`.
    """
    features, labels = check_features(features, labels)
    features, classes, means = _by_class(features, labels)
    if len(means) < 2:
        raise ValueError("The distance between classes needs at least 2 classes, but got 1.")
    between = (means - means.mean(0)).square().sum(1).mean()
    within = _within_class(features, classes, means)
    return within / between if between > 0 else torch.full_like(within, torch.inf)


def _by_class(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """L2-normalised features (N, D), the number of each one's class among those that occur (N,), and the class means (classes, D)."""
    features = functional.normalize(features, dim=1)
    _, classes = torch.unique(labels, return_inverse=True)
    return features, classes, _class_means(features, classes)


def _class_means(values: Tensor, classes: Tensor) -> Tensor:
    sums = values.new_zeros(int(classes.max()) + 1, values.shape[1]).index_add_(0, classes, values)
    return sums / torch.bincount(classes)[:, None]


def _within_class(features: Tensor, classes: Tensor, means: Tensor) -> Tensor:
    squares = (features - means[classes]).square().sum(1, keepdim=True)
    return _class_means(squares, classes).mean()
