from __future__ import annotations

import numpy as np
import pytest
import torch

import bsd_core.data.label_noise as package
from bsd_core.data.label_noise import NOISE_KINDS, check_spoils_any, expected_rate, spoil_labels
from bsd_core.errors import ConfigError, DataError
from tests.bsd_core.data.label_noise._dummies import make_balanced


def test_the_kinds_stand_in_a_fixed_order_under_their_own_names() -> None:
    assert list(NOISE_KINDS) == ["none", "symmetric", "symmetric_inclusive", "asymmetric", "pairflip", "instance", "human", "confusion"]
    assert [kind.name for kind in NOISE_KINDS.values()] == list(NOISE_KINDS)


def test_the_exact_kinds_are_those_whose_count_is_the_rounded_share() -> None:
    assert [name for name, kind in NOISE_KINDS.items() if kind.exact] == ["none", "symmetric", "asymmetric", "pairflip"]


def test_every_public_name_is_there() -> None:
    assert all(hasattr(package, name) for name in package.__all__)
    assert list(package.__all__) == sorted(package.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name))


@pytest.mark.parametrize("kind", ["symmetric", "symmetric_inclusive", "asymmetric", "pairflip", "instance", "confusion"])
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.45])
def test_the_realised_rate_is_the_expected_one(kind: str, rate: float) -> None:
    n = 40_000
    # Classes of unequal size: class 0 is half of all.
    true = np.where(np.arange(n) % 2 == 0, 0, make_balanced(n, 5))
    features = np.random.default_rng(1).standard_normal((n, 4)).astype(np.float32)
    # Class 0 keeps its label with 0.9, the others with 0.6.
    matrix = np.full((5, 5), 0.1) + 0.5 * np.eye(5)
    matrix[0] = [0.9, 0.1, 0, 0, 0]
    asked = 0.0 if kind == "confusion" else rate
    mapping = {label: (label + 2) % 5 for label in range(5)}
    given = spoil_labels(true, kind, asked, n_classes=5, seed=0, mapping=mapping, features=features, matrix=matrix)
    expected = expected_rate(kind, asked, n_classes=5, matrix=matrix, targets=true)
    tolerance = 1 / n if NOISE_KINDS[kind].exact else 5 * np.sqrt(expected * (1 - expected) / n)
    assert float((given != true).mean()) == pytest.approx(expected, abs=tolerance)


def test_expected_rates_by_hand() -> None:
    matrix = np.array([[0.9, 0.1], [0.4, 0.6]])
    assert expected_rate("none", n_classes=10) == 0
    assert expected_rate("symmetric_inclusive", 0.2, n_classes=10) == pytest.approx(0.18)
    assert expected_rate("confusion", n_classes=2, matrix=matrix) == pytest.approx((0.1 + 0.4) / 2)
    assert expected_rate("confusion", n_classes=2, matrix=matrix, targets=np.array([0, 0, 0, 1])) == pytest.approx((3 * 0.1 + 0.4) / 4)
    for targets in ([0, 0, 0, 1], torch.tensor([0, 0, 0, 1]), np.array([0, 0, 0, 1], np.uint8)):
        given = expected_rate("confusion", n_classes=2, matrix=torch.from_numpy(matrix), targets=targets)
        assert given == pytest.approx((3 * 0.1 + 0.4) / 4)
    assert expected_rate("confusion", n_classes=2, matrix=matrix.tolist(), targets=[]) == pytest.approx((0.1 + 0.4) / 2)
    assert expected_rate("instance", 0.0, n_classes=10) == 0
    assert expected_rate("instance", 0.5, n_classes=10) == pytest.approx(0.5)
    assert expected_rate("instance", 0.1, n_classes=10) == pytest.approx(0.1288, abs=1e-4)


def test_a_rate_that_cannot_be_expected_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"not expected but counted"):
        expected_rate("human", n_classes=10)
    with pytest.raises(ConfigError, match=r"Confusion noise needs a K x K matrix"):
        expected_rate("confusion", n_classes=10)
    with pytest.raises(ConfigError, match=r"Unknown label noise 'pairflop'.* Did you mean 'pairflip'\?"):
        expected_rate("pairflop", 0.1, n_classes=10)
    with pytest.raises(ConfigError, match=r"`0 <= noise_rate < 1` must hold, but got noise_rate=1"):
        expected_rate("symmetric", 1, n_classes=10)
    with pytest.raises(DataError, match=r"Labels must lie in \[0, 2\), but run from 0 to 2"):
        expected_rate("confusion", n_classes=2, matrix=np.eye(2), targets=[0, 2])
    with pytest.raises(DataError, match=r"row 0 sums to 0"):
        expected_rate("confusion", n_classes=2, matrix=np.zeros((2, 2)))


@pytest.mark.parametrize("kind", ["symmetric", "symmetric_inclusive", "asymmetric", "pairflip"])
def test_a_fixed_count_of_no_label_is_no_noise(kind: str) -> None:
    check_spoils_any(kind, 0.0, 120)
    check_spoils_any(kind, 0.0042, 120)  # 0.504 of a label is one
    with pytest.raises(ConfigError, match=rf"Noise '{kind}' at noise_rate=0\.004 would spoil none of the 120 training labels\. Raise"):
        check_spoils_any(kind, 0.004, 120)


def test_a_random_count_may_come_to_nothing() -> None:
    check_spoils_any("instance", 1e-9, 120)
    check_spoils_any("confusion", 0.0, 120)
    check_spoils_any("human", 0.0, 120)
