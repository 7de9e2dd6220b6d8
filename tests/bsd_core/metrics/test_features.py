from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from bsd_core.metrics import features as module
from bsd_core.metrics.features import intra_class_variation, intra_inter_ratio, recall_at_1
from tests._dummies import PROPERTY, make_logits, make_targets


@PROPERTY
@given(n=st.integers(2, 60), size=st.integers(1, 6), seed=st.integers(0, 200), metric=st.sampled_from(["euclidean", "cosine"]))
def test_recall_equals_scikit_learns_neighbours(n: int, size: int, seed: int, metric: Literal["euclidean", "cosine"]) -> None:
    features, labels = make_logits(n, size + 1, seed=seed) + 3, make_targets(n, 3, seed=seed)
    # Without rows to look up, scikit-learn takes the stored ones and leaves each itself out.
    neighbours = NearestNeighbors(n_neighbors=1, metric=metric, algorithm="brute").fit(features.numpy()).kneighbors()[1][:, 0]
    expected = np.mean(labels.numpy()[neighbours] == labels.numpy())
    assert float(recall_at_1(features, labels, metric=metric)) == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_recall_does_not_depend_on_the_blocks(metric: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = make_logits(100, 8), make_targets(100, 4)
    whole = recall_at_1(features, labels, metric=metric)
    for cells in (1, 700):  # blocks of 1 row, of 7 rows and a shorter last one
        monkeypatch.setattr(module, "_CELLS", cells)
        assert torch.equal(recall_at_1(features, labels, metric=metric), whole)


def test_the_two_metrics_can_disagree() -> None:
    # The first image is nearest to the second, but points where the third does; the second points nearest to the first.
    features = torch.tensor([[1.0, 0.0], [1.0, 0.5], [9.0, 0.0], [0.0, 5.0]])
    labels = torch.tensor([0, 0, 1, 2])
    assert float(recall_at_1(features, labels)) == 2 / 4
    assert float(recall_at_1(features, labels, metric="cosine")) == 1 / 4


def test_far_from_the_origin_euclidean_neighbours_keep_their_digits() -> None:
    features = torch.tensor([[0.0], [1e-3], [1.0], [1.001]], dtype=torch.float64) + 1e9
    assert float(recall_at_1(features, torch.tensor([0, 0, 1, 1]))) == 1


@PROPERTY
@given(n=st.integers(3, 40), size=st.integers(2, 5), seed=st.integers(0, 200))
def test_variation_equals_plain_loops(n: int, size: int, seed: int) -> None:
    features, labels = make_logits(n, size, seed=seed), make_targets(n, 3, seed=seed)
    rows = features.numpy() / np.linalg.norm(features.numpy(), axis=1, keepdims=True)
    classes = [rows[labels.numpy() == label] for label in range(3)]
    means = np.array([members.mean(0) for members in classes])
    within = np.mean([np.mean([np.sum((row - mean) ** 2) for row in members]) for members, mean in zip(classes, means, strict=True)])
    between = np.mean([np.sum((mean - means.mean(0)) ** 2) for mean in means])
    assert float(intra_class_variation(features, labels)) == pytest.approx(within, rel=1e-10, abs=1e-12)
    assert float(intra_inter_ratio(features, labels)) == pytest.approx(within / between, rel=1e-9, abs=1e-12)


def test_variation_by_hand() -> None:
    # Class 4 points along x and y: its mean is (1/2, 1/2), each image 1/2 away in square. Class 7 has one direction.
    features = torch.tensor([[2.0, 0.0], [0.0, 5.0], [0.0, -1.0], [0.0, -3.0]])
    labels = torch.tensor([4, 4, 7, 7])
    assert float(intra_class_variation(features, labels)) == pytest.approx((0.5 + 0) / 2)
    # The class means (1/2, 1/2) and (0, -1) are sqrt(1/4 + 9/4) apart, each half of that from the middle.
    assert float(intra_inter_ratio(features, labels)) == pytest.approx(0.25 / (10 / 16))


def test_classes_that_coincide_have_an_infinite_ratio() -> None:
    assert float(intra_inter_ratio(torch.ones(4, 3), torch.tensor([0, 0, 1, 1]))) == torch.inf


def test_a_row_of_zeros_has_no_direction_and_is_taken() -> None:
    features, labels = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.1]]), torch.tensor([0, 1, 1])
    assert float(recall_at_1(features, labels, metric="cosine")) == pytest.approx(2 / 3)
    assert float(intra_class_variation(features, labels)) < 0.01


def test_what_needs_two_is_refused_for_one() -> None:
    with pytest.raises(ValueError, match=r"needs at least 2 images, but got N = 1"):
        recall_at_1(torch.ones(1, 2), torch.tensor([0]))
    with pytest.raises(ValueError, match=r"needs at least 2 classes, but got 1"):
        intra_inter_ratio(torch.ones(3, 2), torch.tensor([1, 1, 1]))


def test_an_unknown_metric_is_refused() -> None:
    unknown: Any = "manhattan"
    with pytest.raises(ValueError, match=r"`metric` must be 'euclidean' or 'cosine', but got 'manhattan'"):
        recall_at_1(torch.ones(3, 2), torch.tensor([0, 1, 1]), metric=unknown)
