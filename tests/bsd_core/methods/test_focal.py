from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from bsd_core.errors import ConfigError
from bsd_core.methods.focal import FocalConfig, flsd53_gamma, focal_loss
from tests._dummies import PROPERTY, ScriptedModel, load_golden, make_batch, make_logits, make_method, make_targets


@pytest.mark.parametrize("gamma", [1, 2, 3])
def test_the_constant_schedule_equals_the_golden_numbers(gamma: int) -> None:
    golden = load_golden("losses")
    loss = focal_loss(torch.from_numpy(golden["logits"]), torch.from_numpy(golden["labels"]), gamma=gamma)["total"]
    assert float(loss) == pytest.approx(float(golden[f"focal_g{gamma}"]), rel=1e-12)


def test_the_sample_dependent_schedule_equals_the_golden_numbers() -> None:
    golden = load_golden("losses")
    logits, targets = torch.from_numpy(golden["logits"]), torch.from_numpy(golden["labels"])
    label_probs = logits.softmax(1).gather(1, targets[:, None])[:, 0]
    assert flsd53_gamma(label_probs, gamma=3.0).tolist() == golden["flsd53_gamma"].tolist()
    loss = focal_loss(logits, targets, gamma=3.0, schedule="flsd53")["total"]
    assert float(loss) == pytest.approx(float(golden["flsd53"]), rel=1e-12)


def test_flsd53_chooses_by_the_probability_of_the_label() -> None:
    label_probs = torch.tensor([0.0, 0.1999, 0.2, 0.4999, 0.5, 1.0], dtype=torch.float64, requires_grad=True)
    gamma = flsd53_gamma(label_probs, gamma=1.5)
    assert gamma.tolist() == [5, 5, 3, 3, 1.5, 1.5]
    assert not gamma.requires_grad


def test_one_sample_by_hand() -> None:
    loss = focal_loss(torch.tensor([[0.75, 0.25]], dtype=torch.float64).log(), torch.tensor([0]), gamma=2.0)["total"]
    assert float(loss) == pytest.approx(-(0.25**2) * math.log(0.75))


def test_the_mean_over_the_batch_is_the_references_sum_divided_by_its_size() -> None:
    logits, targets = make_logits(5, 3), make_targets(5, 3)
    label_probs = logits.softmax(1).numpy()[np.arange(5), targets.numpy()]
    reference = (-((1 - label_probs) ** 3) * np.log(label_probs)).sum()
    assert float(focal_loss(logits, targets, gamma=3.0)["total"]) == pytest.approx(reference / 5, rel=1e-12)


def test_gamma_zero_equals_cross_entropy() -> None:
    logits, targets = make_logits(8, 5), make_targets(8, 5)
    total = focal_loss(logits, targets, gamma=0.0)["total"]
    assert float(total) == pytest.approx(float(functional.cross_entropy(logits, targets)), rel=1e-14)


@PROPERTY
@given(gamma=st.floats(0.0, 6.0), seed=st.integers(0, 20))
def test_the_gradient_is_that_of_cross_entropy_times_the_papers_factor(gamma: float, seed: int) -> None:
    logits, targets = make_logits(6, 4, seed=seed).requires_grad_(), make_targets(6, 4)
    (gradient,) = torch.autograd.grad(focal_loss(logits, targets, gamma=gamma)["total"], logits)
    probs = logits.detach().softmax(1)
    p = probs.gather(1, targets[:, None])
    # Mukhoti et al., proposition 1: g(p, gamma) = (1 - p)^gamma - gamma p (1 - p)^(gamma - 1) log p
    factor = (1 - p) ** gamma - gamma * p * (1 - p) ** (gamma - 1) * p.log()
    assert torch.allclose(gradient, factor * (probs - functional.one_hot(targets, 4)) / 6, rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize("schedule", ["constant", "flsd53"])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 3.0])
def test_the_gradient_is_finite_where_a_label_is_certain(gamma: float, schedule: str) -> None:
    logits = torch.tensor([[300.0, 0.0], [20.0, 0.0], [0.0, 300.0]], requires_grad=True)  # float32: p is 1, nearly 1, and 0
    total = focal_loss(logits, torch.tensor([0, 0, 0]), gamma=gamma, schedule=schedule)["total"]
    (gradient,) = torch.autograd.grad(total, logits)
    assert bool(torch.isfinite(total))
    assert bool(torch.isfinite(gradient).all())
    assert bool((gradient[0] == 0).all())


@pytest.mark.parametrize("settings", [{"gamma": 2.0}, {"gamma": 1.0, "schedule": "flsd53"}])
def test_the_method_follows_its_settings(settings: dict[str, Any]) -> None:
    logits, targets = make_logits(6, 4), make_targets(6, 4)
    step = make_method("focal", targets, 4, settings).step(ScriptedModel(logits), make_batch(targets))
    assert float(step.terms["total"]) == float(focal_loss(logits, targets, **settings)["total"])


@pytest.mark.parametrize("gamma", [-0.1, math.nan, math.inf])
def test_gamma_out_of_range_is_refused(gamma: float) -> None:
    with pytest.raises(ConfigError, match=rf"`0 <= gamma < inf` must hold, but got gamma={gamma}"):
        FocalConfig(gamma=gamma)


def test_an_unknown_schedule_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"Unknown focal schedule 'FLSD-53'\. Did you mean 'flsd53'\? Known: constant, flsd53"):
        FocalConfig(schedule="FLSD-53")
    with pytest.raises(ConfigError, match=r"Unknown focal schedule"):
        focal_loss(make_logits(2, 3), torch.tensor([0, 1]), gamma=1.0, schedule="none")
    with pytest.raises(ConfigError, match=r"`gamma >= 0` must hold"):
        focal_loss(make_logits(2, 3), torch.tensor([0, 1]), gamma=-1.0)
