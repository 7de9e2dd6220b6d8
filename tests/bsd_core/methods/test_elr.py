from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from bsd_core.errors import ConfigError
from bsd_core.methods.elr import EarlyLearningRegularization, ELRConfig, elr_loss
from tests._dummies import PROPERTY, ScriptedModel, load_golden, make_batch, make_logits, make_method, make_targets


def make_elr(targets: Tensor, n_classes: int, **settings: Any) -> EarlyLearningRegularization:
    method = make_method("elr", targets, n_classes, settings)
    assert isinstance(method, EarlyLearningRegularization)
    return method


@pytest.mark.parametrize("setting", [0, 1])
def test_memory_loss_and_gradient_equal_the_golden_numbers(setting: int) -> None:
    golden = load_golden("elr")
    beta, weight = golden["cfg_beta_lambda"][setting].tolist()
    targets = torch.from_numpy(golden["labels"])
    memory = torch.zeros(6, 5, dtype=torch.float64)
    for epoch in range(3):
        logits = torch.from_numpy(golden["logits"][epoch]).requires_grad_()
        terms, memory = elr_loss(logits, targets, memory, beta=beta, weight=weight)
        terms["total"].backward()  # type: ignore[no-untyped-call]
        assert not memory.requires_grad
        assert np.allclose(memory.numpy(), golden[f"target_{setting}"][epoch], rtol=1e-12, atol=0)
        assert float(terms["total"].detach()) == pytest.approx(float(golden[f"loss_{setting}"][epoch]), rel=1e-12)
        assert float(terms["regularization"].detach()) == pytest.approx(float(golden[f"reg_{setting}"][epoch]), rel=1e-12)
        assert logits.grad is not None
        assert np.allclose(logits.grad.numpy(), golden[f"grad_{setting}"][epoch], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("setting", [0, 1])
def test_the_method_follows_the_golden_numbers_over_its_steps(setting: int) -> None:
    golden = load_golden("elr")
    beta, weight = golden["cfg_beta_lambda"][setting].tolist()
    targets = torch.from_numpy(golden["labels"])
    method = make_elr(targets, 5, beta=beta, weight=weight)
    for epoch in range(3):
        logits = torch.from_numpy(golden["logits"][epoch]).requires_grad_()
        step = method.step(ScriptedModel(logits), make_batch(targets))
        step.terms["total"].backward()  # type: ignore[no-untyped-call]
        # The table is float32.
        assert np.allclose(method.memory.numpy(), golden[f"target_{setting}"][epoch], rtol=1e-5, atol=0)
        assert float(step.terms["total"].detach()) == pytest.approx(float(golden[f"loss_{setting}"][epoch]), rel=1e-5)
        assert logits.grad is not None
        assert np.allclose(logits.grad.numpy(), golden[f"grad_{setting}"][epoch], rtol=1e-4, atol=1e-7)


def test_one_sample_by_hand() -> None:
    logits = torch.tensor([[0.75, 0.25]], dtype=torch.float64).log()
    terms, memory = elr_loss(logits, torch.tensor([1]), torch.tensor([[0.5, 0.1]], dtype=torch.float64), beta=0.5, weight=2.0)
    assert memory.tolist() == [pytest.approx([0.625, 0.175])]
    inner = 0.625 * 0.75 + 0.175 * 0.25
    assert float(terms["total"]) == pytest.approx(-math.log(0.25) + 2 * math.log(1 - inner))


@PROPERTY
@given(beta=st.floats(0.0, 0.99), n_updates=st.integers(1, 12), seed=st.integers(0, 9))
def test_the_memory_sums_to_what_its_missing_bias_correction_leaves(beta: float, n_updates: int, seed: int) -> None:
    memory, targets = torch.zeros(4, 3, dtype=torch.float64), make_targets(4, 3)
    for update in range(n_updates):
        terms, memory = elr_loss(make_logits(4, 3, seed=seed + 10 * update), targets, memory, beta=beta, weight=1.0)
        assert float(terms["regularization"]) <= 0
    assert memory.sum(1).tolist() == pytest.approx([1 - beta**n_updates] * 4, rel=1e-10)


def test_zero_weight_equals_cross_entropy() -> None:
    logits, targets = make_logits(8, 5), make_targets(8, 5)
    terms, _ = elr_loss(logits, targets, make_logits(8, 5, seed=1).softmax(1), beta=0.7, weight=0.0)
    assert float(terms["total"]) == float(functional.cross_entropy(logits, targets))


def test_the_memory_given_is_left_as_it_was() -> None:
    memory = torch.zeros(2, 3, dtype=torch.float64)
    _, updated = elr_loss(make_logits(2, 3), torch.tensor([0, 1]), memory, beta=0.7, weight=1.0)
    assert not bool(memory.any())
    assert bool((updated > 0).all())


def test_a_certain_prediction_stays_finite_however_often_it_is_repeated() -> None:
    logits, targets = torch.tensor([[100.0, 0.0]], requires_grad=True), torch.tensor([1])
    memory = torch.zeros(1, 2)
    for _ in range(200):
        terms, memory = elr_loss(logits, targets, memory, beta=0.7, weight=7.0)
    # <t, q> is at most (1 - 1e-4)^2 + 1e-8
    assert float(terms["regularization"].detach()) == pytest.approx(math.log(2e-4), rel=1e-2)
    (gradient,) = torch.autograd.grad(terms["total"], logits)
    assert gradient.tolist() == [pytest.approx([1.0, -1.0])]  # clamped: that of cross-entropy alone


def test_a_step_updates_the_rows_of_its_batch_alone() -> None:
    targets = make_targets(5, 3)
    method, rows = make_elr(targets, 3, beta=0.75), torch.tensor([3, 1])
    logits = make_logits(2, 3).float()
    method.step(ScriptedModel(logits), make_batch(targets[rows], indices=rows))
    assert torch.allclose(method.memory[rows], 0.25 * logits.softmax(1), rtol=1e-3)  # but for the clamp
    assert not bool(method.memory[[0, 2, 4]].any())


def test_the_label_estimate_is_the_largest_share_of_the_memory() -> None:
    method = make_elr(torch.tensor([0, 1, 1]), 3)
    sure = torch.tensor([[0.0, 0.0, 20.0], [0.0, 20.0, 0.0]])
    method.step(ScriptedModel(sure), make_batch(torch.tensor([0, 1])))
    assert method.label_estimates().tolist() == [2, 1, -1]  # the third was not seen


def test_the_memory_is_a_float32_buffer_by_sample() -> None:
    method = make_elr(make_targets(7, 3), 3)
    assert method.state_dict().keys() == {"memory"}
    assert (method.memory.shape, method.memory.dtype) == ((7, 3), torch.float32)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": 1.0}, r"`0 <= beta < 1` must hold, but got beta=1\.0"),
        ({"beta": math.nan}, r"beta=nan"),
        ({"weight": -1.0}, r"`0 <= weight < inf` must hold, but got weight=-1\.0"),
        ({"weight": math.inf}, r"weight=inf"),
    ],
)
def test_the_configuration_refuses_settings_out_of_range(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ELRConfig(**settings)


@pytest.mark.parametrize(("beta", "weight", "rule"), [(1.0, 1.0, "0 <= beta < 1"), (0.7, -1.0, "weight >= 0")])
def test_the_loss_refuses_settings_out_of_range(beta: float, weight: float, rule: str) -> None:
    with pytest.raises(ConfigError, match=f"`{rule}` must hold"):
        elr_loss(make_logits(2, 3), torch.tensor([0, 1]), torch.zeros(2, 3), beta=beta, weight=weight)


def test_the_defaults_are_the_reference_settings_for_symmetric_noise() -> None:
    assert ELRConfig() == ELRConfig(beta=0.7, weight=3.0)
