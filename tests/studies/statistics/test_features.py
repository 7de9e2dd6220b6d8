"""Recall@1 and intra-class variation of stored features, beside those of the trainer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bsd_core.metrics import features as reference
from studies.features import Features, write_features
from studies.statistics import features as module
from studies.statistics.features import feature_quality, intra_class_variation, recall_at_1


def by_torch(features: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    values, targets = torch.tensor(features), torch.tensor(labels)
    return float(reference.recall_at_1(values, targets, metric="cosine")), float(reference.intra_class_variation(values, targets))


def ours(features: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    return recall_at_1(features, labels), intra_class_variation(features, labels)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_both_agree_on_random_features(seed: int, dtype: type) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, 300)
    features: np.ndarray = np.maximum(rng.normal(size=(300, 24)) + np.eye(24)[labels] * 2, 0).astype(dtype)
    assert ours(features, labels) == pytest.approx(by_torch(features, labels), rel=1e-9, abs=0)


def test_both_agree_on_tied_features() -> None:
    """Rows along axes, some longer, some of zeros: similarities are exactly 0 or 1, and nearly all are tied."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    features: np.ndarray = np.eye(8)[rng.integers(0, 8, 200)] * 2.0 ** rng.integers(-3, 4, (200, 1))
    features[::17] = 0
    assert ours(features, labels) == pytest.approx(by_torch(features, labels), rel=1e-9, abs=0)


def test_of_equally_near_images_the_first_counts_whatever_was_rounded() -> None:
    nearly = np.array([[1.0, 0.0], [1.0, 1e-9], [1.0, 0.0]])  # 1 - 5e-19 apart in similarity
    assert recall_at_1(nearly, np.array([0, 1, 0])) == pytest.approx(1 / 3)  # nearest: 1, 0, 0


def test_values_by_hand() -> None:
    features, labels = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, 5.0]]), np.array([0, 0, 1, 1])
    assert recall_at_1(features, labels) == 0  # each one's nearest is of the other class
    assert intra_class_variation(features, labels) == pytest.approx(0.5)  # means (1/2, 1/2), squared distances 1/2
    assert recall_at_1(features, np.array([0, 1, 0, 1])) == 1
    assert intra_class_variation(features, np.array([0, 1, 0, 1])) == 0


def test_each_class_counts_the_same() -> None:
    features = np.array([[1.0, 0.0], [0.0, 1.0], *[[1.0, 0.0]] * 6])
    assert intra_class_variation(features, np.array([0, 0, *[1] * 6])) == pytest.approx(0.25)


def test_blocks_are_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    features, labels = rng.normal(size=(101, 6)), rng.integers(0, 3, 101)
    whole = recall_at_1(features, labels)
    monkeypatch.setattr(module, "_BLOCK", 700)
    assert recall_at_1(features, labels) == whole


def test_one_image_has_no_nearest_other() -> None:
    with pytest.raises(ValueError, match="at least 2 images"):
        recall_at_1(np.ones((1, 3)), np.zeros(1, dtype=np.int64))


def test_quality_is_told_of_settings_whose_features_are_there(tmp_path: Path) -> None:
    two, one = np.array([[1.0, 0.0], [9.0, 0.0]]), np.ones((1, 3))
    for name, values in (("a-confirm-0", two), ("b-confirm-0", one)):
        rows = np.arange(len(values))
        write_features(tmp_path / f"{name}.parquet", Features.of(rows, np.zeros_like(rows), values))
    found = feature_quality(tmp_path, {"a": "a-confirm-0", "b": "b-confirm-0", "c": "c-confirm-0"})
    assert set(found) == {"a", "b"}
    assert found["a"] == (2, 2, 1.0, 0.0)
    assert found["b"][:3] == (1, 3, None)
    assert feature_quality(tmp_path / "nowhere", {"a": "a-confirm-0"}) == {}
