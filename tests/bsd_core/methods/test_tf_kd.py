from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from bsd_core.errors import ConfigError
from bsd_core.methods.label_smoothing import label_smoothing_loss
from bsd_core.methods.tf_kd import TFKDConfig, tf_kd_loss, virtual_teacher
from tests._dummies import ScriptedModel, load_golden, make_batch, make_logits, make_method, make_targets


def test_the_virtual_teacher_equals_the_golden_numbers() -> None:
    golden = load_golden("losses")
    targets = torch.from_numpy(golden["labels"])
    softened = virtual_teacher(targets, 6, temperature=20.0, dtype=torch.float64)
    assert np.allclose(softened.numpy(), golden["tfkd_reg_softened"], rtol=1e-12, atol=0)
    # The reference softens these probabilities by a softmax over them.
    by_softmax = (torch.from_numpy(golden["tfkd_virtual_teacher"]) / 3.0).softmax(1)
    assert torch.allclose(virtual_teacher(targets, 6, temperature=3.0, dtype=torch.float64), by_softmax, rtol=1e-12, atol=0)


def test_the_loss_equals_the_golden_number_with_the_multiplier_by_image() -> None:
    golden = load_golden("losses")
    logits, targets = torch.from_numpy(golden["logits"]), torch.from_numpy(golden["labels"])
    # The reference divides by K = 6 and multiplies by 100.
    terms = tf_kd_loss(logits, targets, temperature=20.0, distill_weight=0.1, multiplier=100 / 6)
    assert float(terms["total"]) == pytest.approx(float(golden["tfkd_reg_a0.1_T20_m100"]), rel=1e-12)
    assert float(terms["cross_entropy"]) == pytest.approx(float(golden["ce"]), rel=1e-12)


def test_the_gradient_pulls_towards_label_and_teacher() -> None:
    logits, targets = make_logits(6, 4).requires_grad_(), make_targets(6, 4)
    total = tf_kd_loss(logits, targets, temperature=2.0, distill_weight=0.3, multiplier=1.5)["total"]
    (gradient,) = torch.autograd.grad(total, logits)
    probs, teacher = logits.detach().softmax(1), virtual_teacher(targets, 4, temperature=2.0, dtype=torch.float64)
    expected = 0.7 * (probs - functional.one_hot(targets, 4)) + 0.3 * 1.5 * (probs - teacher)
    assert torch.allclose(gradient, expected / 6, rtol=1e-10, atol=1e-15)


def test_a_hot_teacher_is_label_smoothing_but_for_a_constant() -> None:
    logits, targets = make_logits(6, 4).requires_grad_(), make_targets(6, 4)
    ours = tf_kd_loss(logits, targets, temperature=1e9, distill_weight=0.1, multiplier=1.0)["total"]
    smoothed = label_smoothing_loss(logits, targets, smoothing=0.1)["total"]
    gradient, expected = (torch.autograd.grad(loss, logits)[0] for loss in (ours, smoothed))
    assert torch.allclose(gradient, expected, rtol=1e-7, atol=1e-12)


def test_zero_weight_equals_cross_entropy() -> None:
    logits, targets = make_logits(8, 5), make_targets(8, 5)
    total = tf_kd_loss(logits, targets, temperature=20.0, distill_weight=0.0, multiplier=1.0)["total"]
    assert float(total) == float(functional.cross_entropy(logits, targets))


@pytest.mark.parametrize("temperature", [1e-4, 0.1, 1e9])
def test_the_teacher_is_a_distribution_at_every_temperature(temperature: float) -> None:
    teacher = virtual_teacher(torch.tensor([2, 0]), 3, temperature=temperature, dtype=torch.float64)
    assert teacher.sum(1).tolist() == pytest.approx([1, 1], rel=1e-14)
    assert teacher.argmax(1).tolist() == [2, 0]
    assert bool((teacher >= 0).all())


def test_the_method_follows_its_settings() -> None:
    settings: dict[str, Any] = {"temperature": 5.0, "distill_weight": 0.4, "multiplier": 3.0}
    logits, targets = make_logits(6, 4), make_targets(6, 4)
    step = make_method("tf_kd", targets, 4, settings).step(ScriptedModel(logits), make_batch(targets))
    expected = tf_kd_loss(logits, targets, **settings)
    assert {name: float(term) for name, term in step.terms.items()} == {name: float(term) for name, term in expected.items()}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, r"`0 < temperature < inf` must hold, but got temperature=0\.0"),
        ({"temperature": math.nan}, r"temperature=nan"),
        ({"distill_weight": 1.1}, r"`0 <= distill_weight <= 1` must hold, but got distill_weight=1\.1"),
        ({"multiplier": -1.0}, r"`0 <= multiplier < inf` must hold, but got multiplier=-1\.0"),
        ({"multiplier": math.inf}, r"multiplier=inf"),
    ],
)
def test_the_configuration_refuses_settings_out_of_range(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TFKDConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"temperature": 0.0}, "temperature > 0"),
        ({"distill_weight": -0.1}, "0 <= distill_weight <= 1"),
        ({"multiplier": -1.0}, "multiplier >= 0"),
    ],
)
def test_the_loss_refuses_settings_out_of_range(settings: dict[str, float], rule: str) -> None:
    good = {"temperature": 20.0, "distill_weight": 0.1, "multiplier": 1.0}
    with pytest.raises(ConfigError, match=f"`{rule}` must hold"):
        tf_kd_loss(make_logits(2, 3), torch.tensor([0, 1]), **{**good, **settings})


def test_the_defaults_are_the_reference_settings_for_cifar_100() -> None:
    assert TFKDConfig() == TFKDConfig(temperature=20.0, distill_weight=0.1, multiplier=1.0)
