from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from bsd_core.metrics.classification import accuracy, area_under_risk_coverage, brier_score, negative_log_likelihood
from tests._dummies import PROPERTY, load_golden, make_logits, make_targets


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (accuracy, "random_acc"),
        (negative_log_likelihood, "random_nll"),
        (brier_score, "random_brier"),
        (area_under_risk_coverage, "random_aurc"),
    ],
)
def test_metrics_equal_the_golden_numbers(function: Any, name: str) -> None:
    golden = load_golden("metrics")
    found = function(torch.from_numpy(golden["random_probs"]), torch.from_numpy(golden["random_labels"]))
    assert found.dtype == torch.float64
    assert found.shape == ()
    assert float(found) == pytest.approx(float(golden[name]), rel=1e-12)


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


def test_nll_agrees_with_scikit_learn() -> None:
    probs, targets = make_logits(50, 4).softmax(1), make_targets(50, 4)
    assert float(negative_log_likelihood(probs, targets)) == pytest.approx(
        log_loss(targets.numpy(), probs.numpy(), labels=range(4)), rel=1e-12
    )


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
