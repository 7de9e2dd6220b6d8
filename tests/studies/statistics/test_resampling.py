from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from bsd_core.metrics.calibration import expected_calibration_error
from studies.statistics import resampling as module
from studies.statistics.resampling import Replicates, Resampler
from tests.studies.statistics._dummies import make_difficulty, make_replicates


def torch_ece(confidence: Any, hit: Any, n_bins: int = 15) -> float:
    """ECE of the trainer's own metrics; each image has two classes, or the confidence would not be the larger probability."""
    confidence = torch.as_tensor(confidence, dtype=torch.float64)
    probs = torch.stack([confidence, 1 - confidence], dim=1)
    return float(expected_calibration_error(probs, torch.as_tensor(hit).logical_not().long(), n_bins=n_bins))


@pytest.mark.parametrize("n_bins", [1, 7, 15])
def test_values_are_those_of_the_metrics_package(n_bins: int) -> None:
    replicates = make_replicates(make_difficulty(200, seed=0), seed=1, n_replicates=3)
    found = Resampler(200, n_resamples=2, n_bins=n_bins, seed=0).apply(replicates)
    assert found.accuracy.values == pytest.approx(replicates.hit.mean(1))
    assert found.ece.values == pytest.approx([torch_ece(*rows, n_bins) for rows in zip(replicates.confidence, replicates.hit, strict=True)])
    assert (found.accuracy.value, found.ece.value) == pytest.approx((found.accuracy.values.mean(), found.ece.values.mean()))


def test_nll_and_ece_of_scaled_confidences_are_resampled_beside_the_others() -> None:
    made = make_replicates(make_difficulty(60, seed=0), seed=1, n_replicates=2)
    rng = np.random.default_rng(5)
    nll, scaled = rng.exponential(1.0, (2, 60)), rng.uniform(0.5, 1.0, (2, 60))
    resampler = Resampler(60, n_resamples=20, seed=3)
    found = resampler.apply(replace(made, nll=nll, scaled_confidence=scaled))
    assert found.nll is not None
    assert found.ece_temperature_scaled is not None
    assert found.nll.values == pytest.approx(nll.mean(1))
    assert found.ece_temperature_scaled.values == pytest.approx([torch_ece(*rows) for rows in zip(scaled, made.hit, strict=True)])
    draws = np.random.default_rng(3)
    for resample in range(20):
        rows = draws.integers(0, 60, 60)
        assert found.nll.resamples[resample] == pytest.approx(nll[:, rows].mean(1))
        expected = [torch_ece(confidence[rows], hit[rows]) for confidence, hit in zip(scaled, made.hit, strict=True)]
        assert found.ece_temperature_scaled.resamples[resample] == pytest.approx(expected)
    plain = resampler.apply(made)
    assert (plain.nll, plain.ece_temperature_scaled) == (None, None)
    np.testing.assert_allclose(plain.ece.resamples, found.ece.resamples, rtol=1e-12)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below_it() -> None:
    edges = np.linspace(0, 1, 16)[8:]
    confidence, hit = np.concatenate([edges, edges - 0.01]), np.arange(16) % 3 > 0
    found = Resampler(16, n_resamples=2, seed=0).apply(Replicates(confidence[None], hit[None]))
    assert found.ece.value == pytest.approx(torch_ece(confidence, hit), rel=1e-12)


def test_resamples_are_the_metrics_of_images_drawn_with_replacement() -> None:
    replicates = make_replicates(make_difficulty(50, seed=0), seed=1, n_replicates=2)
    found = Resampler(50, n_resamples=20, seed=3).apply(replicates)
    rng = np.random.default_rng(3)
    for resample in range(20):
        rows = rng.integers(0, 50, 50)
        drawn = [(confidence[rows], hit[rows]) for confidence, hit in zip(replicates.confidence, replicates.hit, strict=True)]
        assert found.accuracy.resamples[resample] == pytest.approx([hit.mean() for _, hit in drawn])
        assert found.ece.resamples[resample] == pytest.approx([torch_ece(*pair) for pair in drawn])


def test_resamples_do_not_depend_on_how_many_counts_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    replicates = make_replicates(make_difficulty(31, seed=0), seed=1)
    whole = Resampler(31, n_resamples=100, seed=0).apply(replicates)
    monkeypatch.setattr(module, "_CELLS", 7 * 31)
    blocks = Resampler(31, n_resamples=100, seed=0).apply(replicates)
    assert blocks.ece.resamples == pytest.approx(whole.ece.resamples, rel=1e-12)


def test_replicates_can_be_picked_by_their_number() -> None:
    made = make_replicates(make_difficulty(40, seed=0), seed=1, n_replicates=3)
    numbered = Replicates(made.confidence, made.hit, numbers=(4, 0, 2))
    found = Resampler(40, n_resamples=5, seed=0).apply(numbered).accuracy
    picked = found.of((2, 4))
    assert picked.numbers == (2, 4)
    assert picked.values.tolist() == found.values[[2, 0]].tolist()
    assert picked.resamples.tolist() == found.resamples[:, [2, 0]].tolist()


@pytest.mark.parametrize(
    ("confidence", "hit", "numbers", "message"),
    [
        ([[0.5, 0.6]], [[1, 0, 1]], (), r"one shape \(S, N\), but got \(1, 2\) and \(1, 3\)"),
        ([0.5, 0.6], [1, 0], (), r"one shape \(S, N\), but got \(2,\) and \(2,\)"),
        (np.zeros((0, 2)), np.zeros((0, 2)), (), r"one shape \(S, N\), but got \(0, 2\)"),
        ([[0.5, 1.2]], [[1, 0]], (), r"A confidence lies in \[0, 1\] and a hit is 0 or 1"),
        ([[0.5, np.nan]], [[1, 0]], (), r"A confidence lies in \[0, 1\]"),
        ([[0.5, 0.6]], [[1, 2]], (), r"a hit is 0 or 1"),
        ([[0.5, 0.6]], [[1, 0]], (0, 1), r"one number for each of 1 replicates, none twice, but got \(0, 1\)"),
        ([[0.5], [0.6]], [[1], [0]], (3, 3), r"none twice, but got \(3, 3\)"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(confidence: Any, hit: Any, numbers: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Replicates(confidence, hit, numbers)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"nll": np.array([[0.1]])},
            r"Expected confidence and hit and nll of one shape \(S, N\), but got \(1, 2\) and \(1, 2\) and \(1, 1\)",
        ),
        ({"nll": np.array([[0.1, np.inf]])}, "An NLL is finite and at least 0"),
        ({"nll": np.array([[0.1, -0.1]])}, "An NLL is finite and at least 0"),
        ({"scaled_confidence": np.array([[0.1, np.nan]])}, r"A confidence lies in \[0, 1\]"),
    ],
)
def test_what_is_known_besides_is_checked_too(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Replicates(np.array([[0.5, 0.6]]), np.array([[1, 0]]), **more)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_images": 1}, r"`n_images >= 2` must hold, but got n_images=1"),
        ({"n_resamples": 1}, r"`n_resamples >= 2` must hold, but got n_resamples=1"),
        ({"n_bins": 0}, r"`n_bins >= 1` must hold, but got n_bins=0"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Resampler(**{"n_images": 5, "seed": 0, **options})


def test_predictions_of_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected predictions of 5 images, as the other models have, but got 2"):
        Resampler(5, n_resamples=2, seed=0).apply(Replicates(np.array([[0.5, 0.6]]), np.array([[1, 0]])))
