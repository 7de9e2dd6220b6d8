from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.errors import ConfigError
from bsd_core.methods.ps_kd import ProgressiveSelfDistillation, PSKDConfig, history_weight_at, ps_kd_loss, ps_kd_target
from tests._dummies import ScriptedModel, load_golden, make_batch, make_logits, make_method, make_targets


def make_ps_kd(targets: Tensor, n_classes: int, *, epochs: int = 4, history_weight: float = 0.8) -> ProgressiveSelfDistillation:
    method = make_method("ps_kd", targets, n_classes, {"history_weight": history_weight}, epochs=epochs)
    assert isinstance(method, ProgressiveSelfDistillation)
    return method


@pytest.mark.parametrize("which", range(5))
def test_weight_target_and_loss_equal_the_golden_numbers(which: int) -> None:
    golden = load_golden("losses")
    logits, targets = torch.from_numpy(golden["logits"]), torch.from_numpy(golden["labels"])
    epoch = int(golden["pskd_epochs"][which])
    weight = history_weight_at(epoch, 300, history_weight=0.8)
    history = torch.from_numpy(golden["pskd_hist"]) if epoch > 0 else functional.one_hot(targets, 6).double()
    target = ps_kd_target(history, targets, weight=weight)
    assert weight == pytest.approx(float(golden["pskd_alpha"][which]), rel=1e-14)
    assert np.allclose(target.numpy(), golden["pskd_target"][which], rtol=1e-12, atol=0)
    assert float(ps_kd_loss(logits, target)["total"]) == pytest.approx(float(golden["pskd_loss"][which]), rel=1e-12)


def test_the_gradient_is_probs_minus_the_target_and_the_history_has_none() -> None:
    logits, targets = make_logits(6, 4).requires_grad_(), make_targets(6, 4)
    history = make_logits(6, 4, seed=1).softmax(1).requires_grad_()
    target = ps_kd_target(history, targets, weight=0.4)
    (gradient,) = torch.autograd.grad(ps_kd_loss(logits, target)["total"], logits)
    assert not target.requires_grad
    assert torch.allclose(gradient, (logits.detach().softmax(1) - target) / 6, rtol=1e-10, atol=1e-15)


def test_the_weight_rises_to_its_setting_in_the_last_epoch() -> None:
    assert [history_weight_at(epoch, 4, history_weight=0.8) for epoch in range(4)] == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_a_target_by_hand() -> None:
    target = ps_kd_target(torch.tensor([[0.2, 0.8]]), torch.tensor([0]), weight=0.25)
    assert target.tolist() == pytest.approx(np.array([[0.8, 0.2]]))


def test_each_epoch_learns_from_the_one_before() -> None:
    targets = make_targets(6, 3)
    method = make_ps_kd(targets, 3)
    logits = [make_logits(6, 3, seed=epoch) for epoch in range(3)]
    totals = []
    for epoch in range(3):
        step = method.step(ScriptedModel(logits[epoch]), make_batch(targets, epoch=epoch, step=epoch))
        totals.append(float(step.terms["total"]))
        assert torch.allclose(method.history, logits[epoch].softmax(1).float(), rtol=1e-6)
    expected = [float(functional.cross_entropy(logits[0], targets))]
    for epoch, weight in ((1, 0.4), (2, 0.6)):
        target = (1 - weight) * functional.one_hot(targets, 3) + weight * logits[epoch - 1].softmax(1)
        expected.append(float(functional.cross_entropy(logits[epoch], target)))
    assert totals[0] == expected[0]
    assert totals == pytest.approx(expected, rel=1e-6)


def test_the_first_epoch_of_a_method_is_plain_cross_entropy_whatever_its_state_holds() -> None:
    targets, logits = make_targets(6, 3), make_logits(6, 3)
    method = make_ps_kd(targets, 3, history_weight=1.0)
    method.history.fill_(1 / 3)
    total = method.step(ScriptedModel(logits), make_batch(targets, epoch=0)).terms["total"]
    assert float(total) == float(functional.cross_entropy(logits, targets))


def test_a_step_replaces_the_rows_of_its_batch_alone() -> None:
    targets = make_targets(5, 3)
    method, rows = make_ps_kd(targets, 3), torch.tensor([3, 1])
    logits = make_logits(2, 3).float().requires_grad_()
    method.step(ScriptedModel(logits), make_batch(targets[rows], indices=rows))
    assert torch.equal(method.history[rows], logits.detach().softmax(1))
    assert not bool(method.history[[0, 2, 4]].any())
    assert not method.history.requires_grad


@pytest.mark.parametrize("epoch", [0, 2])
def test_zero_weight_equals_cross_entropy_in_every_epoch(epoch: int) -> None:
    targets, logits = make_targets(6, 3), make_logits(6, 3)
    method = make_ps_kd(targets, 3, history_weight=0.0)
    total = method.step(ScriptedModel(logits), make_batch(targets, epoch=epoch)).terms["total"]
    assert float(total) == pytest.approx(float(functional.cross_entropy(logits, targets)), rel=1e-14)


def test_the_history_is_a_float32_buffer_by_sample_and_its_estimates_are_the_latest_predictions() -> None:
    method = make_ps_kd(make_targets(7, 3), 3)
    assert method.state_dict().keys() == {"history"}
    assert (method.history.shape, method.history.dtype) == ((7, 3), torch.float32)
    assert method.label_estimates() is None  # which the trainer keeps for every method


@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan])
def test_a_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(ConfigError, match=rf"`0 <= history_weight <= 1` must hold, but got history_weight={weight}"):
        PSKDConfig(history_weight=weight)
    with pytest.raises(ConfigError, match=r"`0 <= weight <= 1` must hold"):
        ps_kd_target(torch.ones(1, 2) / 2, torch.tensor([0]), weight=weight)


def test_the_default_is_the_reference_setting() -> None:
    assert PSKDConfig() == PSKDConfig(history_weight=0.8)
