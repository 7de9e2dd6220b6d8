from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bsd_core.metrics import intervals as module
from bsd_core.metrics.calibration import expected_calibration_error
from bsd_core.metrics.classification import accuracy, brier_score
from bsd_core.metrics.intervals import accuracy_interval, bootstrap_interval, ece_interval
from tests._dummies import PROPERTY, make_logits, make_targets

FAST = [(accuracy_interval, accuracy), (ece_interval, expected_calibration_error)]


def make_predictions(n: int, n_classes: int = 3, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Probabilities and labels, about half of them the prediction."""
    logits, targets = make_logits(n, n_classes, seed=seed), make_targets(n, n_classes, seed=seed)
    targets[::3] = logits[::3].argmax(1)
    return logits.softmax(1), targets


@pytest.mark.parametrize(("fast", "metric"), FAST)
@pytest.mark.parametrize("method", ["percentile", "bca", "centred"])
def test_the_fast_intervals_equal_the_general_one(fast: Any, metric: Any, method: Any) -> None:
    probs, targets = make_predictions(80)
    options: Any = {"n_resamples": 200, "confidence_level": 0.9, "seed": 3, "method": method}
    slow, found = bootstrap_interval(probs, targets, metric, **options, bounds=(0, 1)), fast(probs, targets, **options)
    assert (found.value, found.low, found.high) == pytest.approx((slow.value, slow.low, slow.high), rel=1e-12)
    assert found.value == pytest.approx(float(metric(probs, targets)), rel=1e-12)


@PROPERTY
@given(n=st.integers(2, 40), seed=st.integers(0, 200), n_bins=st.integers(1, 20))
def test_percentile_intervals_are_quantiles_over_the_same_resamples(n: int, seed: int, n_bins: int) -> None:
    probs, targets = make_predictions(n, seed=seed)
    draws = torch.from_numpy(np.random.default_rng(seed).integers(0, n, (50, n)))
    binned = partial(expected_calibration_error, n_bins=n_bins)
    for found, metric in (
        (accuracy_interval(probs, targets, n_resamples=50, confidence_level=0.8, seed=seed), accuracy),
        (ece_interval(probs, targets, n_bins=n_bins, n_resamples=50, confidence_level=0.8, seed=seed), binned),
        (bootstrap_interval(probs, targets, brier_score, n_resamples=50, confidence_level=0.8, seed=seed), brier_score),
    ):
        resampled = [float(metric(probs[rows], targets[rows])) for rows in draws]
        assert (found.low, found.high) == pytest.approx(np.quantile(resampled, [0.1, 0.9]), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("interval", [accuracy_interval, ece_interval])
def test_an_interval_does_not_depend_on_how_many_resamples_are_held_at_once(interval: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    probs, targets = make_predictions(31)  # an odd number, so that no block ends where a pair of draws does
    whole = interval(probs, targets, n_resamples=100, seed=0, method="bca")
    monkeypatch.setattr(module, "_CELLS", 7 * 31)
    blocks = interval(probs, targets, n_resamples=100, seed=0, method="bca")
    assert (blocks.low, blocks.high) == pytest.approx((whole.low, whole.high), rel=1e-12)


def test_the_accuracy_interval_has_the_width_that_the_binomial_law_says() -> None:
    probs, targets = make_predictions(2000)
    found = accuracy_interval(probs, targets, n_resamples=2000, seed=0)
    half = 1.96 * (found.value * (1 - found.value) / 2000) ** 0.5
    assert found.low == pytest.approx(found.value - half, abs=0.1 * half)
    assert found.high == pytest.approx(found.value + half, abs=0.1 * half)


def test_equal_seeds_give_equal_intervals_and_a_higher_level_a_wider_one() -> None:
    probs, targets = make_predictions(50)
    narrow = accuracy_interval(probs, targets, n_resamples=300, confidence_level=0.5, seed=1)
    assert accuracy_interval(probs, targets, n_resamples=300, confidence_level=0.5, seed=1) == narrow
    wide = accuracy_interval(probs, targets, n_resamples=300, confidence_level=0.99, seed=1)
    assert wide.low < narrow.low <= narrow.value <= narrow.high < wide.high


def test_a_centred_interval_is_the_percentile_interval_moved_by_the_bias_of_the_resamples() -> None:
    probs, targets = make_predictions(60)
    draws = torch.from_numpy(np.random.default_rng(4).integers(0, 60, (300, 60)))
    bias = float(torch.stack([expected_calibration_error(probs[rows], targets[rows]) for rows in draws]).mean()) - float(
        expected_calibration_error(probs, targets)
    )
    percentile, centred = (ece_interval(probs, targets, n_resamples=300, seed=4, method=method) for method in ("percentile", "centred"))
    assert bias > 0
    assert (centred.low, centred.high) == pytest.approx((percentile.low - bias, percentile.high - bias), rel=1e-12)


def test_a_centred_interval_holds_a_small_ece_that_the_percentile_interval_misses() -> None:
    confidence = torch.linspace(0.5, 0.95, 1000, dtype=torch.float64)
    targets = (torch.arange(1000) * 0.618034 % 1 > confidence).long()  # in every stretch, the share of hits is the confidence
    probs = torch.stack([confidence, 1 - confidence], 1)
    percentile, centred = (ece_interval(probs, targets, seed=0, method=method) for method in ("percentile", "centred"))
    assert percentile.value < percentile.low
    assert 0 <= centred.low < centred.value < centred.high < percentile.high


def test_a_centred_interval_is_cut_at_the_bounds_of_the_metric() -> None:
    # Half of the images are right at confidence 1/2: no error at all, and some in nearly every resample.
    probs, targets = torch.full((40, 2), 0.5), torch.arange(40) % 2
    found = ece_interval(probs, targets, seed=1, method="centred")
    assert (found.value, found.low) == (0, 0)
    assert found.high > 0
    assert bootstrap_interval(probs, targets, expected_calibration_error, n_resamples=50, seed=1, method="centred").low < 0


@pytest.mark.parametrize("method", ["percentile", "bca", "centred"])
def test_an_accuracy_of_one_has_no_width(method: Any) -> None:
    found = accuracy_interval(torch.eye(4), torch.arange(4), n_resamples=20, seed=0, method=method)
    assert (found.value, found.low, found.high) == (1, 1, 1)


def test_bca_is_refused_where_every_resample_is_worse_than_the_sample() -> None:
    # Half of the images are right at confidence 1/2: no error at all, and some in nearly every resample.
    probs, targets = torch.full((40, 2), 0.5), torch.arange(40) % 2
    with pytest.raises(ValueError, match=r"All resamples lie on one side of the value.* Use method='percentile'"):
        ece_interval(probs, targets, n_resamples=5, seed=1, method="bca")
    assert ece_interval(probs, targets, n_resamples=5, seed=1).low > 0


@pytest.mark.parametrize("interval", [accuracy_interval, ece_interval, partial(bootstrap_interval, metric=accuracy)])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_resamples": 0}, r"`n_resamples >= 1` must hold, but got n_resamples=0"),
        ({"confidence_level": 1.0}, r"`0 < confidence_level < 1` must hold, but got confidence_level=1\.0"),
        ({"confidence_level": 0.0}, r"`0 < confidence_level < 1` must hold"),
        ({"method": "basic"}, r"`method` must be 'percentile', 'bca' or 'centred', but got 'basic'"),
    ],
)
def test_options_out_of_range_are_refused(interval: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        interval(*(torch.eye(2), torch.tensor([0, 1])), **{"seed": 0, **options})


def test_one_image_cannot_be_resampled() -> None:
    with pytest.raises(ValueError, match=r"`N >= 2` must hold to draw other samples, but got N = 1"):
        accuracy_interval(torch.eye(1), torch.tensor([0]), seed=0)
    with pytest.raises(ValueError, match=r"`n_bins >= 1` must hold, but got n_bins=0"):
        ece_interval(torch.eye(2), torch.tensor([0, 1]), n_bins=0, seed=0)
