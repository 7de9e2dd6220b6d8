from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bsd_core.metrics import calibration
from bsd_core.metrics.calibration import (
    adaptive_calibration_error,
    classwise_calibration_error,
    debiased_calibration_error,
    expected_calibration_error,
    fit_temperature,
    maximum_calibration_error,
    reliability_bins,
    root_mean_square_calibration_error,
)
from bsd_core.metrics.classification import negative_log_likelihood
from tests._dummies import PROPERTY, Float64, Int64, make_logits, make_targets

ERRORS = [
    expected_calibration_error,
    maximum_calibration_error,
    root_mean_square_calibration_error,
    adaptive_calibration_error,
    classwise_calibration_error,
]


def probs_with_confidence(confidence: list[float], right: list[bool]) -> tuple[Tensor, Tensor]:
    """Three-class rows whose largest probability is class 0's; the label is 0 where the prediction is right."""
    probs = torch.tensor([[value, (1 - value) / 2, (1 - value) / 2] for value in confidence], dtype=torch.float64)
    return probs, torch.tensor([0 if hit else 1 for hit in right])


def naive_groups_error(groups: list[list[int]], confidence: Float64, hits: Float64) -> tuple[float, float]:
    """(mean gap weighted by size, largest gap) over groups of row numbers."""
    total, largest = 0.0, 0.0
    for rows in groups:
        if rows:
            gap = abs(sum(hits[row] for row in rows) / len(rows) - sum(confidence[row] for row in rows) / len(rows))
            total += len(rows) / len(confidence) * gap
            largest = max(largest, gap)
    return total, largest


def naive_bins(values: Float64, n_bins: int) -> list[list[int]]:
    """Row numbers by (low, high] bin; 0 belongs to the first."""
    edges = np.linspace(0, 1, n_bins + 1)
    groups: list[list[int]] = [[] for _ in range(n_bins)]
    for row, value in enumerate(values):
        for index in range(n_bins):
            last = index == n_bins - 1
            if (edges[index] < value or index == 0) and (value <= edges[index + 1] or last):
                groups[index].append(row)
                break
    return groups


@st.composite
def predictions(draw: st.DrawFn) -> tuple[Float64, Int64, int]:
    """Probabilities that are multiples of 1/60, so that many fall exactly on bin edges; labels; a number of bins."""
    n_classes = draw(st.integers(2, 4))
    rows = draw(st.lists(st.lists(st.integers(0, 30), min_size=n_classes, max_size=n_classes).filter(any), min_size=1, max_size=25))
    weights = np.array(rows, dtype=np.float64)
    targets = np.array([draw(st.integers(0, n_classes - 1)) for _ in rows])
    return weights / weights.sum(1, keepdims=True), targets, draw(st.sampled_from([1, 2, 10, 15]))


@PROPERTY
@given(predictions())
def test_equal_width_errors_equal_a_plain_loop(case: tuple[Float64, Int64, int]) -> None:
    probs, targets, n_bins = case
    confidence, hits = probs.max(1), (probs.argmax(1) == targets).astype(np.float64)
    mean, largest = naive_groups_error(naive_bins(confidence, n_bins), confidence, hits)
    tensors = torch.from_numpy(probs), torch.from_numpy(targets)
    assert float(expected_calibration_error(*tensors, n_bins=n_bins)) == pytest.approx(mean, abs=1e-12)
    assert float(maximum_calibration_error(*tensors, n_bins=n_bins)) == pytest.approx(largest, abs=1e-12)


@PROPERTY
@given(predictions())
def test_the_equal_mass_error_equals_a_plain_loop(case: tuple[Float64, Int64, int]) -> None:
    probs, targets, n_bins = case
    confidence, hits = probs.max(1), (probs.argmax(1) == targets).astype(np.float64)
    groups = [rows.tolist() for rows in np.array_split(np.argsort(confidence, kind="stable"), n_bins)]
    mean, _ = naive_groups_error(groups, confidence, hits)
    found = adaptive_calibration_error(torch.from_numpy(probs), torch.from_numpy(targets), n_bins=n_bins)
    assert float(found) == pytest.approx(mean, abs=1e-12)


@PROPERTY
@given(predictions())
def test_the_classwise_error_equals_a_plain_loop(case: tuple[Float64, Int64, int]) -> None:
    probs, targets, n_bins = case
    errors = []
    for label in range(probs.shape[1]):
        hits = (targets == label).astype(np.float64)
        errors.append(naive_groups_error(naive_bins(probs[:, label], n_bins), probs[:, label], hits)[0])
    found = classwise_calibration_error(torch.from_numpy(probs), torch.from_numpy(targets), n_bins=n_bins)
    assert float(found) == pytest.approx(sum(errors) / len(errors), abs=1e-12)


@PROPERTY
@given(predictions())
def test_the_bins_explain_the_error(case: tuple[Float64, Int64, int]) -> None:
    probs, targets, n_bins = case
    tensors = torch.from_numpy(probs), torch.from_numpy(targets)
    bins = reliability_bins(*tensors, n_bins=n_bins)
    assert bins.count.tolist() == [len(rows) for rows in naive_bins(probs.max(1), n_bins)]
    assert float((bins.shares * bins.gaps).sum()) == pytest.approx(float(expected_calibration_error(*tensors, n_bins=n_bins)), abs=1e-15)
    assert torch.equal(bins.mean_confidence.isnan(), bins.count == 0)


def test_ece_by_hand() -> None:
    # | bin of 5   | confidences   | right | accuracy | confidence |
    # | (0.6, 0.8] | 0.7, 0.7, 0.7 | 2     | 2/3      | 0.7        |
    # | (0.8, 1.0] | 0.9, 1.0      | 2     | 1        | 0.95       |
    probs, targets = probs_with_confidence([0.7, 0.7, 0.7, 0.9, 1.0], [True, True, False, True, True])
    expected = 3 / 5 * abs(2 / 3 - 0.7) + 2 / 5 * abs(1 - 0.95)
    assert float(expected_calibration_error(probs, targets, n_bins=5)) == pytest.approx(expected)
    assert float(maximum_calibration_error(probs, targets, n_bins=5)) == pytest.approx(1 - 0.95)
    square = 3 / 5 * (2 / 3 - 0.7) ** 2 + 2 / 5 * (1 - 0.95) ** 2
    assert float(root_mean_square_calibration_error(probs, targets, n_bins=5)) == pytest.approx(square**0.5)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below_it() -> None:
    probs, targets = probs_with_confidence([0.5, 0.5000001, 0.75, 1.0], [True] * 4)
    assert reliability_bins(probs, targets, n_bins=4).count.tolist() == [0, 1, 2, 1]


def test_adaptive_groups_are_cut_from_the_sorted_confidences_the_first_larger() -> None:
    probs, targets = probs_with_confidence([0.9, 0.5, 0.7, 0.6, 0.8], [True, False, True, False, True])
    # groups of 2, 2, 1: (0.5, 0.6), (0.7, 0.8), (0.9)
    expected = 2 / 5 * 0.55 + 2 / 5 * (1 - 0.75) + 1 / 5 * (1 - 0.9)
    assert float(adaptive_calibration_error(probs, targets, n_bins=3)) == pytest.approx(expected)


def test_with_more_bins_than_images_each_image_is_a_group() -> None:
    probs, targets = probs_with_confidence([0.9, 0.6], [True, False])
    assert float(adaptive_calibration_error(probs, targets, n_bins=15)) == pytest.approx((0.1 + 0.6) / 2)


def test_the_debiased_error_takes_away_the_variance_of_each_accuracy() -> None:
    probs, targets = probs_with_confidence([0.95, 0.9, 0.85, 0.6, 0.5], [True, False, False, True, False])
    # groups of 3, 2: (0.5, 0.6, 0.85) with one right, (0.9, 0.95) with one right
    square = 3 / 5 * ((1 / 3 - 0.65) ** 2 - 1 / 3 * 2 / 3 / 2) + 2 / 5 * ((1 / 2 - 0.925) ** 2 - 1 / 2 * 1 / 2 / 1)
    assert square < 0
    assert float(debiased_calibration_error(probs, targets, n_bins=2)) == 0
    probs, targets = probs_with_confidence([0.95, 0.9, 0.85, 0.8, 0.75], [True, False, False, False, False])
    square = 3 / 5 * 0.8**2 + 2 / 5 * ((1 / 2 - 0.925) ** 2 - 1 / 2 * 1 / 2 / 1)
    assert float(debiased_calibration_error(probs, targets, n_bins=2)) == pytest.approx(square**0.5)


def test_the_debiased_square_is_right_on_average() -> None:
    # Confidence 0.9 for all, right with probability 0.7, 20 images in 4 bins of 5: the true square is 0.04.
    rng, squares, plain = np.random.default_rng(0), [], []
    for _ in range(2000):
        probs, targets = probs_with_confidence([0.9] * 20, list(rng.random(20) < 0.7))
        squares.append(float(debiased_calibration_error(probs, targets, n_bins=1)) ** 2)
        plain.append(float(root_mean_square_calibration_error(probs, targets)) ** 2)
    assert np.mean(plain) == pytest.approx(0.04 + 0.7 * 0.3 / 20, abs=2e-3)
    assert np.mean(squares) == pytest.approx(0.04, abs=3e-3)


def test_groups_of_one_image_have_no_debiased_error() -> None:
    probs, targets = probs_with_confidence([0.9, 0.6], [False, True])
    assert float(debiased_calibration_error(probs, targets, n_bins=15)) == 0


def test_classwise_error_of_two_classes_by_hand() -> None:
    probs = torch.tensor([[0.7, 0.3], [0.7, 0.3], [0.2, 0.8]], dtype=torch.float64)
    # class 0: bin of 0.7 holds two, one is right: 2/3 |1/2 - 0.7|; bin of 0.2: 1/3 |0 - 0.2|; class 1 mirrors it
    expected = 2 / 3 * abs(0.5 - 0.7) + 1 / 3 * 0.2
    assert float(classwise_calibration_error(probs, torch.tensor([0, 1, 1]), n_bins=10)) == pytest.approx(expected)


@pytest.mark.parametrize("function", ERRORS)
def test_errors_are_zero_for_sure_and_right_and_one_for_sure_and_wrong(function: Any) -> None:
    probs = torch.eye(2, dtype=torch.float64)
    assert float(function(probs, torch.tensor([0, 1]))) == 0
    assert float(function(probs, torch.tensor([1, 0]))) == 1


@pytest.mark.parametrize("function", ERRORS)
def test_float32_probabilities_give_a_float64_number_close_to_the_exact_one(function: Any) -> None:
    probs, targets = make_logits(100, 5).softmax(1), make_targets(100, 5)
    found = function(probs.float(), targets)
    assert found.dtype == torch.float64
    assert float(found) == pytest.approx(float(function(probs.float().double(), targets)), rel=1e-12)


@pytest.mark.parametrize("function", [*ERRORS, debiased_calibration_error, reliability_bins])
def test_less_than_one_bin_is_refused(function: Any) -> None:
    with pytest.raises(ValueError, match=r"`n_bins >= 1` must hold, but got n_bins=0"):
        function(torch.eye(2), torch.tensor([0, 1]), n_bins=0)


@pytest.mark.parametrize("function", [*ERRORS, debiased_calibration_error, reliability_bins])
def test_logits_are_not_taken_for_probabilities(function: Any) -> None:
    with pytest.raises(ValueError, match=r"Pass softmax outputs, not logits"):
        function(make_logits(4, 3), torch.tensor([0, 1, 2, 0]))


@pytest.mark.parametrize("seed", range(4))
def test_no_other_temperature_has_a_smaller_nll(seed: int) -> None:
    logits = make_logits(200, 4, seed=seed)
    targets = torch.distributions.Categorical(logits=logits / 2).mode.clone()
    targets[::3] = make_targets(len(targets[::3]), 4, seed=seed)
    temperature = fit_temperature(logits, targets)

    def nll(value: float) -> float:
        return float(negative_log_likelihood((logits / value).softmax(1), targets))

    assert all(nll(temperature) <= nll(temperature * factor) for factor in (0.5, 0.9, 0.99, 0.999, 1.001, 1.01, 1.1, 2))


def test_scaled_logits_need_a_scaled_temperature() -> None:
    logits, targets = make_logits(300, 4, scale=1.0), make_targets(300, 4)
    targets[:150] = logits[:150].argmax(1)
    assert fit_temperature(3 * logits, targets) == pytest.approx(3 * fit_temperature(logits, targets), rel=1e-9)


def test_the_temperature_of_two_classes_has_a_closed_form() -> None:
    # Margin 2 everywhere, three of four right: softmax(2 / T) must be 3/4, so 2 / T = log 3.
    logits = torch.tensor([[2.0, 0.0]] * 4, dtype=torch.float64)
    assert fit_temperature(logits, torch.tensor([0, 0, 0, 1])) == pytest.approx(2 / math.log(3), rel=1e-9)


def test_the_temperature_ends_at_its_bounds_where_there_is_no_minimum() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    assert fit_temperature(logits, torch.tensor([0, 1])) == pytest.approx(1e-3, rel=1e-6)
    assert fit_temperature(logits, torch.tensor([1, 0])) == pytest.approx(1e3, rel=1e-6)


@pytest.mark.parametrize("scale", [1e-2, 1, 1e2, 1e4])
def test_a_temperature_takes_few_passes_over_the_logits(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []

    def counted(*arguments: Any) -> tuple[float, float]:
        passes.append(1)
        return original(*arguments)

    original = calibration._slope_and_rate
    monkeypatch.setattr(calibration, "_slope_and_rate", counted)
    logits, targets = make_logits(200, 5, scale=scale), make_targets(200, 5)
    targets[::2] = logits[::2].argmax(1)
    fit_temperature(logits, targets)
    assert len(passes) <= 20


def test_logits_of_one_value_keep_the_weakest_scale() -> None:
    assert fit_temperature(torch.zeros(3, 4), torch.tensor([0, 1, 2])) == pytest.approx(1e3)


def test_infinite_logits_have_no_temperature() -> None:
    with pytest.raises(ValueError, match=r"`logits` holds NaN or infinity"):
        fit_temperature(torch.tensor([[math.inf, 0.0]]), torch.tensor([0]))
