from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bsd_core.metrics.classification import (
    accuracy,
    area_under_risk_coverage,
    brier_score,
    excess_area_under_risk_coverage,
    expected_area_under_risk_coverage,
    negative_log_likelihood,
    top_k_accuracy,
)
from tests._dummies import PROPERTY, make_logits, make_targets


@PROPERTY
@given(n=st.integers(1, 40), n_classes=st.integers(2, 6), seed=st.integers(0, 200))
def test_metrics_equal_plain_loops(n: int, n_classes: int, seed: int) -> None:
    probs, targets = make_logits(n, n_classes, seed=seed).softmax(1), make_targets(n, n_classes, seed=seed + 1)
    rows, labels = probs.tolist(), targets.tolist()
    wrong = [row.index(max(row)) != label for row, label in zip(rows, labels, strict=True)]
    assert float(accuracy(probs, targets)) == pytest.approx(1 - sum(wrong) / n)
    nll = sum(-math.log(row[label]) for row, label in zip(rows, labels, strict=True)) / n
    assert float(negative_log_likelihood(probs, targets)) == pytest.approx(nll, rel=1e-10)
    brier = sum((value - (k == label)) ** 2 for row, label in zip(rows, labels, strict=True) for k, value in enumerate(row)) / n
    assert float(brier_score(probs, targets)) == pytest.approx(brier, rel=1e-10)
    by_confidence = sorted(range(n), key=lambda row: -max(rows[row]))
    risks = [sum(wrong[row] for row in by_confidence[:kept]) / kept for kept in range(1, n + 1)]
    assert float(area_under_risk_coverage(probs, targets)) == pytest.approx(sum(risks) / n, abs=1e-12)


def test_a_small_case_by_hand() -> None:
    probs = torch.tensor([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.1, 0.9]], dtype=torch.float64)
    targets = torch.tensor([0, 1, 1, 0])
    assert float(accuracy(probs, targets)) == 2 / 4
    assert float(negative_log_likelihood(probs, targets)) == pytest.approx(-math.log(0.8 * 0.4 * 0.7 * 0.1) / 4)
    assert float(brier_score(probs, targets)) == pytest.approx(2 * (0.2**2 + 0.6**2 + 0.3**2 + 0.9**2) / 4)
    # by confidence: 0.9 wrong, 0.8 right, 0.7 right, 0.6 wrong
    assert float(area_under_risk_coverage(probs, targets)) == pytest.approx((1 / 1 + 1 / 2 + 1 / 3 + 2 / 4) / 4)


def test_on_a_tie_the_first_class_is_predicted() -> None:
    probs = torch.tensor([[0.5, 0.5]])
    assert float(accuracy(probs, torch.tensor([0]))) == 1
    assert float(accuracy(probs, torch.tensor([1]))) == 0


def test_a_probability_of_zero_costs_the_most_that_float64_can_say() -> None:
    found = negative_log_likelihood(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([1, 0]))
    assert float(found) == pytest.approx(-math.log(np.finfo(np.float64).tiny) / 2)


def test_brier_runs_from_zero_to_two() -> None:
    probs = torch.eye(3)
    assert float(brier_score(probs, torch.tensor([0, 1, 2]))) == 0
    assert float(brier_score(probs, torch.tensor([1, 2, 0]))) == 2


def test_equal_confidences_keep_their_order_on_the_risk_coverage_curve() -> None:
    probs = torch.tensor([[0.8, 0.2], [0.8, 0.2]], dtype=torch.float64)
    assert float(area_under_risk_coverage(probs, torch.tensor([0, 1]))) == (0 / 1 + 1 / 2) / 2
    assert float(area_under_risk_coverage(probs, torch.tensor([1, 0]))) == (1 / 1 + 1 / 2) / 2


@PROPERTY
@given(confidence=st.lists(st.sampled_from([0.6, 0.7, 0.8]), min_size=1, max_size=5), seed=st.integers(0, 31))
def test_the_expected_curve_is_the_mean_over_all_orders_of_the_ties(confidence: list[float], seed: int) -> None:
    probs = torch.tensor([[value, 1 - value] for value in confidence], dtype=torch.float64)
    targets = torch.tensor([seed >> bit & 1 for bit in range(len(confidence))])
    orders = [list(order) for order in permutations(range(len(confidence)))]
    mean = np.mean([float(area_under_risk_coverage(probs[order], targets[order])) for order in orders])
    assert float(expected_area_under_risk_coverage(probs, targets)) == pytest.approx(mean, abs=1e-12)


def test_the_excess_is_zero_where_all_errors_come_last() -> None:
    probs = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]], dtype=torch.float64)
    assert float(excess_area_under_risk_coverage(probs, torch.tensor([0, 0, 1]))) == 0
    assert float(excess_area_under_risk_coverage(probs, torch.tensor([1, 0, 0]))) == pytest.approx((1 + 1 / 2 + 1 / 3 - 1 / 3) / 3)
    assert float(excess_area_under_risk_coverage(probs, torch.tensor([1, 1, 1]))) == 0  # nothing but errors: no order is better


def test_among_the_k_most_probable_classes() -> None:
    probs = torch.tensor([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    targets = torch.tensor([0, 1, 2])
    assert [float(top_k_accuracy(probs, targets, k=k)) for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1])


def test_on_a_tie_the_first_classes_are_among_the_k() -> None:
    probs, targets = torch.full((4, 4), 0.25), torch.arange(4)
    assert [float(top_k_accuracy(probs, targets, k=k)) for k in (1, 2, 3, 4)] == [1 / 4, 2 / 4, 3 / 4, 1]
    assert float(top_k_accuracy(probs, targets, k=1)) == float(accuracy(probs, targets))


@pytest.mark.parametrize("k", [0, 4])
def test_k_must_be_a_number_of_classes(k: int) -> None:
    with pytest.raises(ValueError, match=rf"`1 <= k <= K` must hold, but got k={k} for K=3 classes"):
        top_k_accuracy(torch.eye(3), torch.arange(3), k=k)
