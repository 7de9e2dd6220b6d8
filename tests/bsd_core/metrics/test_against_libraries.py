"""Metrics of probabilities on random predictions, beside torchmetrics, scikit-learn and SciPy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.special import softmax
from scipy.stats import binned_statistic
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, top_k_accuracy_score
from torch import Tensor
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from bsd_core.metrics import calibration, classification
from tests._dummies import PROPERTY, make_logits, make_targets

ROWS = {"n": st.integers(1, 80), "n_classes": st.integers(3, 8), "seed": st.integers(0, 500)}


def make_predictions(n: int, n_classes: int, seed: int) -> tuple[Tensor, Tensor]:
    """(N, K) float64 probabilities, none on a bin's edge and no two alike, and labels."""
    return make_logits(n, n_classes, seed=seed).softmax(1), make_targets(n, n_classes, seed=seed + 1)


@PROPERTY
@given(**ROWS, n_bins=st.integers(1, 20))
def test_equal_width_errors_equal_torchmetrics(n: int, n_classes: int, seed: int, n_bins: int) -> None:
    probs, targets = make_predictions(n, n_classes, seed)
    for function, norm in (
        (calibration.expected_calibration_error, "l1"),
        (calibration.root_mean_square_calibration_error, "l2"),
        (calibration.maximum_calibration_error, "max"),
    ):
        expected = multiclass_calibration_error(probs, targets, n_classes, n_bins=n_bins, norm=norm)
        assert float(function(probs, targets, n_bins=n_bins)) == pytest.approx(float(expected), abs=2e-6)  # theirs is float32 inside


@PROPERTY
@given(**ROWS, n_bins=st.integers(1, 20))
def test_the_classwise_error_is_torchmetrics_mean_over_classes(n: int, n_classes: int, seed: int, n_bins: int) -> None:
    probs, targets = make_predictions(n, n_classes, seed)
    columns = probs.T.contiguous()
    expected = [float(binary_calibration_error(columns[k], (targets == k).long(), n_bins=n_bins)) for k in range(n_classes)]
    found = calibration.classwise_calibration_error(probs, targets, n_bins=n_bins)
    assert float(found) == pytest.approx(np.mean(expected), abs=2e-6)


@PROPERTY
@given(n=st.integers(2, 80), n_classes=st.integers(3, 8), seed=st.integers(0, 500), n_bins=st.integers(1, 20))
def test_equal_mass_errors_equal_scipys_binned_statistics(n: int, n_classes: int, seed: int, n_bins: int) -> None:
    probs, targets = make_predictions(n, n_classes, seed)
    confidence, hits = probs.amax(1).numpy(), (probs.argmax(1) == targets).double().numpy()
    groups = [group for group in np.array_split(np.sort(confidence), n_bins) if len(group)]
    edges = [0, *((below[-1] + above[0]) / 2 for below, above in pairwise(groups)), 1]
    (accuracy, mean_confidence), *_ = binned_statistic(confidence, [hits, confidence], "mean", edges)
    shares = np.array([len(group) / n for group in groups])
    adaptive = np.sum(shares * np.abs(accuracy - mean_confidence))
    assert float(calibration.adaptive_calibration_error(probs, targets, n_bins=n_bins)) == pytest.approx(adaptive, rel=1e-10)
    # The squared standard error of a mean, which NumPy's `ddof=1` makes unbiased, is what the debiased error takes away.
    variance = [
        np.var(hits[bins == b], ddof=1) / np.sum(bins == b) if np.sum(bins == b) > 1 else np.nan
        for bins in [np.digitize(confidence, edges[1:-1])]
        for b in range(len(groups))
    ]
    square = np.nansum(shares * ((accuracy - mean_confidence) ** 2 - variance))
    found = calibration.debiased_calibration_error(probs, targets, n_bins=n_bins)
    assert float(found) == pytest.approx(max(square, 0) ** 0.5, abs=1e-7)


@PROPERTY
@given(**ROWS)
def test_proper_scores_and_accuracies_equal_scikit_learn(n: int, n_classes: int, seed: int) -> None:
    probs, targets = make_predictions(n, n_classes, seed)
    p, y, classes = probs.numpy(), targets.numpy(), np.arange(n_classes)
    assert float(classification.accuracy(probs, targets)) == pytest.approx(accuracy_score(y, p.argmax(1)))
    assert float(classification.negative_log_likelihood(probs, targets)) == pytest.approx(log_loss(y, p, labels=classes), rel=1e-10)
    brier = brier_score_loss(y, p, labels=classes, scale_by_half=False)
    assert float(classification.brier_score(probs, targets)) == pytest.approx(brier, rel=1e-10)
    for k in range(1, n_classes):
        expected = top_k_accuracy_score(y, p, k=k, labels=classes)
        assert float(classification.top_k_accuracy(probs, targets, k=k)) == pytest.approx(expected)


@PROPERTY
@given(n=st.integers(2, 80), n_classes=st.integers(3, 8), seed=st.integers(0, 500))
def test_the_risk_coverage_curve_follows_from_scikit_learns_accuracy(n: int, n_classes: int, seed: int) -> None:
    probs, targets = make_predictions(n, n_classes, seed)
    order = np.argsort(-probs.amax(1).numpy())
    predicted, labels = probs.argmax(1).numpy()[order], targets.numpy()[order]
    risks = [1 - accuracy_score(labels[:kept], predicted[:kept]) for kept in range(1, n + 1)]
    right_first = np.argsort(predicted != labels, kind="stable")
    best = [1 - accuracy_score(labels[right_first][:kept], predicted[right_first][:kept]) for kept in range(1, n + 1)]
    assert float(classification.area_under_risk_coverage(probs, targets)) == pytest.approx(np.mean(risks), abs=1e-12)
    assert float(classification.expected_area_under_risk_coverage(probs, targets)) == pytest.approx(np.mean(risks), abs=1e-12)
    assert float(classification.excess_area_under_risk_coverage(probs, targets)) == pytest.approx(np.mean(risks) - np.mean(best), abs=1e-12)


@PROPERTY
@given(n=st.integers(10, 80), n_classes=st.integers(2, 6), seed=st.integers(0, 500), hardness=st.floats(0.3, 3))
def test_the_temperature_is_the_one_scipy_finds(n: int, n_classes: int, seed: int, hardness: float) -> None:
    logits = make_logits(n, n_classes, seed=seed)
    targets = torch.multinomial((logits / hardness).softmax(1), 1, generator=torch.Generator().manual_seed(seed))[:, 0]

    def nll(log_temperature: float) -> float:
        return float(log_loss(targets.numpy(), softmax(logits.numpy() / np.exp(log_temperature), axis=1), labels=range(n_classes)))

    found = calibration.fit_temperature(logits, targets)
    best = minimize_scalar(nll, bounds=(np.log(1e-3), np.log(1e3)), method="bounded", options={"xatol": 1e-10})
    assert nll(np.log(found)) <= best.fun + 1e-12
    if 0.02 < found < 50:  # not at a bound, where the NLL is flat
        assert found == pytest.approx(np.exp(best.x), rel=1e-6)


@PROPERTY
@given(n=st.integers(2, 60), n_classes=st.integers(2, 6), seed=st.integers(0, 500), scale=st.floats(0.05, 200))
def test_newtons_temperature_is_the_root_that_brent_finds(n: int, n_classes: int, seed: int, scale: float) -> None:
    logits, targets = make_logits(n, n_classes, scale=scale, seed=seed), make_targets(n, n_classes, seed=seed)
    targets[::2] = logits[::2].argmax(1)
    margins = (logits - logits.gather(1, targets[:, None])).numpy()  # (N, K), E_p of which is the slope

    def slope(log_scale: float) -> float:
        return float((softmax(np.exp(log_scale) * margins, axis=1) * margins).sum(1).mean())

    low, high = np.log(1e-3), np.log(1e3)
    if slope(low) < 0 < slope(high):
        assert calibration.fit_temperature(logits, targets) == pytest.approx(np.exp(-brentq(slope, low, high, xtol=1e-14)), rel=1e-9)
    else:
        assert calibration.fit_temperature(logits, targets) == pytest.approx(1e-3 if slope(low) < 0 else 1e3)
