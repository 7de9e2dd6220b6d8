from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from bsd_core.errors import ConfigError
from bsd_core.methods.gce import GCEConfig, gce_loss
from tests._dummies import PROPERTY, ScriptedModel, load_golden, make_batch, make_logits, make_method, make_targets


def test_the_loss_equals_the_golden_number() -> None:
    golden = load_golden("losses")
    loss = gce_loss(torch.from_numpy(golden["logits"]), torch.from_numpy(golden["labels"]), exponent=0.7)["total"]
    assert float(loss) == pytest.approx(float(golden["gce_q0.7"]), rel=1e-12)


def test_one_sample_by_hand() -> None:
    loss = gce_loss(torch.tensor([[0.25, 0.75]], dtype=torch.float64).log(), torch.tensor([0]), exponent=0.5)["total"]
    assert float(loss) == pytest.approx((1 - 0.5) / 0.5)


def test_exponent_one_is_half_the_absolute_error() -> None:
    logits, targets = make_logits(8, 5, scale=1.0), make_targets(8, 5)
    error = (logits.softmax(1) - functional.one_hot(targets, 5)).abs().sum(1).mean()
    assert float(gce_loss(logits, targets, exponent=1.0)["total"]) == pytest.approx(float(error) / 2, rel=1e-12)


def test_a_small_exponent_is_cross_entropy_also_in_float32() -> None:
    logits, targets = make_logits(8, 5, scale=1.0).float(), make_targets(8, 5)
    loss = gce_loss(logits, targets, exponent=1e-6)["total"]
    assert float(loss) == pytest.approx(float(functional.cross_entropy(logits, targets)), rel=1e-5)


@PROPERTY
@given(exponent=st.floats(0.01, 1.0), seed=st.integers(0, 20))
def test_the_gradient_is_that_of_cross_entropy_times_a_power_of_the_labels_probability(exponent: float, seed: int) -> None:
    logits, targets = make_logits(6, 4, scale=1.0, seed=seed).requires_grad_(), make_targets(6, 4)
    (gradient,) = torch.autograd.grad(gce_loss(logits, targets, exponent=exponent)["total"], logits)
    probs = logits.detach().softmax(1)
    weight = probs.gather(1, targets[:, None]) ** exponent
    assert torch.allclose(gradient, weight * (probs - functional.one_hot(targets, 4)) / 6, rtol=1e-9, atol=1e-15)


def test_a_label_below_the_clamp_has_a_bounded_loss_and_no_gradient() -> None:
    logits = torch.tensor([[0.0, 10.0], [0.0, 9.0]], dtype=torch.float64, requires_grad=True)  # p_y = 4.5e-5 and 1.2e-4
    loss = gce_loss(logits, torch.tensor([0, 0]), exponent=0.7)["total"]
    (gradient,) = torch.autograd.grad(loss, logits)
    p = float(logits.detach()[1].softmax(0)[0])
    assert float(loss.detach()) == pytest.approx(((1 - 1e-4**0.7) / 0.7 + (1 - p**0.7) / 0.7) / 2, rel=1e-12)
    assert gradient[0].tolist() == [0, 0]
    assert bool((gradient[1] != 0).all())


def test_the_method_follows_its_setting() -> None:
    logits, targets = make_logits(6, 4), make_targets(6, 4)
    step = make_method("gce", targets, 4, {"exponent": 0.4}).step(ScriptedModel(logits), make_batch(targets))
    assert float(step.terms["total"]) == float(gce_loss(logits, targets, exponent=0.4)["total"])


@pytest.mark.parametrize("exponent", [0.0, -0.5, 1.01, math.nan])
def test_an_exponent_out_of_range_is_refused(exponent: float) -> None:
    message = rf"`0 < exponent <= 1` must hold, but got exponent={exponent}"
    with pytest.raises(ConfigError, match=message):
        GCEConfig(exponent=exponent)
    with pytest.raises(ConfigError, match=message):
        gce_loss(make_logits(2, 3), torch.tensor([0, 1]), exponent=exponent)
