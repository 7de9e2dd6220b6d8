from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from bsd_core.metrics.calibration import expected_calibration_error
from bsd_core.metrics.classification import accuracy
from bsd_core.metrics.inputs import check_logits, check_probs

ROWS = [[0.5, 0.5], [0.25, 0.75]]


@pytest.mark.parametrize(
    ("probs", "targets", "message"),
    [
        ([0.5, 0.5], [0, 1], r"Expected probs of shape \(N, K\) and targets of shape \(N,\), but got \(2,\) and \(2,\)"),
        (ROWS, [[0], [1]], r"but got \(2, 2\) and \(2, 1\)"),
        (ROWS, [0, 1, 0], r"but got \(2, 2\) and \(3,\)"),
        (np.empty((0, 3)), np.empty(0, np.int64), r"A metric of no samples is undefined: got N = 0"),
        (ROWS, [0.0, 1.0], r"Expected integer targets, but got torch\.float32"),
        (ROWS, [True, False], r"Expected integer targets, but got torch\.bool"),
        (ROWS, [0, 2], r"Targets must lie in \[0, 2\), but run from 0 to 2"),
        (ROWS, [-1, 1], r"Targets must lie in \[0, 2\), but run from -1 to 1"),
        ([[math.nan, 0.5], [0.5, 0.5]], [0, 1], r"`probs` holds NaN or infinity"),
        ([[0.6, 0.6], [0.5, 0.5]], [0, 1], r"Each row of `probs` must be a distribution .* Pass softmax outputs, not logits"),
        ([[1.5, -0.5], [0.5, 0.5]], [0, 1], r"Each row of `probs` must be a distribution"),
    ],
)
def test_inputs_of_another_form_are_refused(probs: Any, targets: Any, message: str) -> None:
    for function in (check_probs, accuracy, expected_calibration_error):
        with pytest.raises(ValueError, match=message):
            function(probs, targets)


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        ([1.0, 2.0], [0, 1], r"Expected logits of shape \(N, K\) and targets of shape \(N,\), but got \(2,\) and \(2,\)"),
        ([[math.inf, 0.0]], [0], r"`logits` holds NaN or infinity"),
        ([[3.0, -9.0]], [2], r"Targets must lie in \[0, 2\)"),
    ],
)
def test_logits_of_another_form_are_refused(logits: Any, targets: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_logits(logits, targets)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_rows_normalised_in_half_precision_are_taken(dtype: torch.dtype) -> None:
    probs = torch.randn(50, 10, generator=torch.Generator().manual_seed(0)).softmax(1).to(dtype)
    checked, _ = check_probs(probs, torch.zeros(50, dtype=torch.int64))
    assert torch.equal(checked, probs.double())


def test_arrays_lists_and_small_integers_are_taken() -> None:
    for probs, targets in [
        (ROWS, [0, 1]),
        (np.array(ROWS), np.array([0, 1])),
        (torch.tensor(ROWS), torch.tensor([0, 1], dtype=torch.uint8)),
    ]:
        checked, labels = check_probs(probs, targets)
        assert checked.tolist() == ROWS
        assert (checked.dtype, labels.dtype) == (torch.float64, torch.int64)


def test_numbers_in_lists_are_not_rounded_to_float32() -> None:
    probs, _ = check_probs([[0.1, 0.9]], [0])
    logits, _ = check_logits([[0.1, 0.9]], [0])
    assert probs.tolist() == logits.tolist() == [[0.1, 0.9]]


def test_no_gradient_is_carried_into_a_metric() -> None:
    probs = torch.tensor(ROWS, requires_grad=True)
    assert not check_probs(probs, torch.tensor([0, 1]))[0].requires_grad
