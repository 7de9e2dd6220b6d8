from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from bsd_core.metrics.classification import negative_log_likelihood
from studies.statistics import stored as module
from studies.statistics.confirmed import ConfirmedPoint
from studies.statistics.stored import StoredPredictions, judge_images
from tests.studies._dummies import write_clean_predictions


def test_images_are_judged_as_softmax_does_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(0, 3, (50, 4)).astype(np.float16), rng.integers(0, 4, 50)
    whole = judge_images(logits, targets, temperature=1.7)
    probs = (torch.from_numpy(logits).double() / 1.7).softmax(1)
    np.testing.assert_allclose(whole.confidence, probs.amax(1).numpy(), rtol=1e-12)
    np.testing.assert_allclose(whole.nll, -probs[torch.arange(50), torch.from_numpy(targets)].log().numpy(), rtol=1e-12)
    np.testing.assert_array_equal(whole.hit, probs.argmax(1).numpy() == targets)
    monkeypatch.setattr(module, "_BLOCK", 12)
    for blocks, at_once in zip(judge_images(logits, targets, temperature=1.7), whole, strict=True):
        np.testing.assert_array_equal(blocks, at_once)


def test_a_probability_of_0_counts_as_the_metrics_count_it() -> None:
    logits, targets = np.array([[0.0, -60_000.0], [0.0, -1.0]], dtype=np.float16), np.array([1, 0])
    probs = torch.from_numpy(logits).double().softmax(1)
    found = judge_images(logits, targets)
    assert found.nll.tolist() == pytest.approx([708.396, math.log(1 + math.exp(-1))], rel=1e-6)
    assert found.nll.mean() == pytest.approx(float(negative_log_likelihood(probs, torch.from_numpy(targets))), rel=1e-12)


def make_point(*temperatures: float | None, of_search: float | None) -> ConfirmedPoint:
    trainings = [
        {"trial_id": f"t-{replicate}", "replicate": replicate, "state": "complete", "temperature": temperature}
        for replicate, temperature in enumerate(temperatures)
    ]
    return ConfirmedPoint(
        trial_id="t",
        arm="bsd/none",
        method="bsd",
        condition="none",
        roles=("knee",),
        settings={},
        temperature=of_search,
        trainings=list(trainings),
    )


def test_a_training_without_a_temperature_takes_that_of_the_search(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for replicate in range(2):
        write_clean_predictions(tmp_path, f"t-{replicate}", rng.uniform(0.5, 1, 40), rng.random(40) < 0.8)

    def values(*temperatures: float | None, of_search: float | None = None) -> list[float] | None:
        found = StoredPredictions(tmp_path, seed=0).resampled(make_point(*temperatures, of_search=of_search))
        assert found is not None
        assert found.nll is not None
        return None if found.ece_temperature_scaled is None else found.ece_temperature_scaled.values.tolist()

    own = values(2.0, 3.0, of_search=9.0)
    assert own is not None
    assert values(2.0, None, of_search=3.0) == own
    assert values(2.0, 1.0, of_search=3.0) != own
    assert values(2.0, None) is None
