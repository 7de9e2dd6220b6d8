from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.errors import ConfigError
from bsd_core.methods.bsd import update_posterior
from bsd_core.methods.temporal_ensembling import (
    TemporalEnsembling,
    TemporalEnsemblingConfig,
    ensemble_target,
    ramp_up,
    temporal_ensembling_loss,
    update_ensemble,
)
from tests._dummies import ScriptedModel, load_golden, make_batch, make_logits, make_method, make_targets


def make_ensembling(targets: Tensor, n_classes: int, *, epochs: int = 4, **settings: Any) -> TemporalEnsembling:
    method = make_method("temporal_ensembling", targets, n_classes, settings, epochs=epochs)
    assert isinstance(method, TemporalEnsembling)
    return method


def test_ensemble_target_and_loss_equal_the_golden_numbers() -> None:
    golden = load_golden("temporal_ensembling")
    decay, targets = float(golden["alpha"]), torch.from_numpy(golden["labels"])
    ensemble = torch.zeros(5, 4, dtype=torch.float64)
    for epoch in range(4):
        probs = torch.from_numpy(golden["probs"][epoch])
        target = ensemble_target(ensemble, decay=decay, n_updates=epoch)
        terms = temporal_ensembling_loss(probs.log(), targets, target, weight=float(golden["unsup_weight"][epoch]))
        ensemble = update_ensemble(ensemble, probs, decay=decay)
        assert float(terms["total"]) == pytest.approx(float(golden["loss"][epoch]), rel=1e-12)
        assert np.allclose(ensemble.numpy(), golden["Z"][epoch], rtol=1e-12, atol=0)
        following = ensemble_target(ensemble, decay=decay, n_updates=epoch + 1)
        assert np.allclose(following.numpy(), golden["targets_for_next_epoch"][epoch], rtol=1e-12, atol=0)


def test_the_ramp_equals_the_golden_numbers() -> None:
    golden = load_golden("temporal_ensembling")
    assert [ramp_up(int(epoch), 80) for epoch in golden["rampup_epochs"]] == pytest.approx(golden["rampup"].tolist(), rel=1e-12)


def test_the_method_follows_the_golden_numbers_over_its_steps() -> None:
    golden = load_golden("temporal_ensembling")
    targets = torch.from_numpy(golden["labels"])
    # 80 of 300 epochs; the golden weight is 300 times the ramp.
    method = make_ensembling(targets, 4, epochs=300, consistency_weight=300.0)
    for epoch in range(4):
        logits = torch.from_numpy(golden["probs"][epoch]).log()
        step = method.step(ScriptedModel(logits), make_batch(targets, epoch=epoch))
        assert float(step.terms["total"]) == pytest.approx(float(golden["loss"][epoch]), rel=1e-6)
        assert np.allclose(method.ensemble.numpy(), golden["Z"][epoch], rtol=1e-5, atol=0)  # the table is float32


def test_the_target_is_bsds_without_a_prior() -> None:
    alpha = ensemble = torch.zeros(5, 3, dtype=torch.float64)
    for n_updates in range(1, 5):
        probs = make_logits(5, 3, seed=n_updates).softmax(1)
        alpha, posterior_mean = update_posterior(alpha, probs, discount=0.6)
        ensemble = update_ensemble(ensemble, probs, decay=0.6)
        assert torch.allclose(ensemble_target(ensemble, decay=0.6, n_updates=n_updates), posterior_mean, rtol=1e-12, atol=0)


def test_the_squared_error_is_a_mean_over_images_and_classes() -> None:
    probs, ensemble = torch.tensor([[0.5, 0.5], [0.9, 0.1]], dtype=torch.float64), torch.tensor([[0.7, 0.3], [0.9, 0.1]])
    terms = temporal_ensembling_loss(probs.log(), torch.tensor([0, 0]), ensemble.double(), weight=10.0)
    assert float(terms["consistency"]) == pytest.approx(2 * 0.2**2 / 4)
    assert float(terms["total"]) == pytest.approx(-(math.log(0.5) + math.log(0.9)) / 2 + 10 * 0.02)


def test_the_gradient_flows_through_the_prediction_alone() -> None:
    logits, targets = make_logits(5, 4).requires_grad_(), make_targets(5, 4)
    ensemble = make_logits(5, 4, seed=1).softmax(1).requires_grad_()
    total = temporal_ensembling_loss(logits, targets, ensemble, weight=3.0)["total"]
    (gradient,) = torch.autograd.grad(total, logits)
    probs = logits.detach().softmax(1)
    difference = 2 * (probs - ensemble.detach()) / 20  # d mean / d p
    through_softmax = probs * (difference - (difference * probs).sum(1, keepdim=True))
    assert torch.allclose(gradient, (probs - functional.one_hot(targets, 4)) / 5 + 3 * through_softmax, rtol=1e-10, atol=1e-15)
    (of_ensemble,) = torch.autograd.grad(
        temporal_ensembling_loss(logits, targets, ensemble, weight=3.0)["total"], ensemble, allow_unused=True
    )
    assert of_ensemble is None


@pytest.mark.parametrize("epoch", [0, 3])
def test_the_first_epoch_and_zero_weight_equal_cross_entropy(epoch: int) -> None:
    targets, logits = make_targets(6, 3), make_logits(6, 3)
    method = make_ensembling(targets, 3, consistency_weight=100.0 if epoch == 0 else 0.0)
    total = method.step(ScriptedModel(logits), make_batch(targets, epoch=epoch)).terms["total"]
    assert float(total) == float(functional.cross_entropy(logits, targets))


def test_the_ramp_is_a_share_of_the_training() -> None:
    targets, logits = make_targets(6, 3), make_logits(6, 3)
    for epoch, weight in ((1, math.exp(-5 * 0.25)), (2, 1.0), (3, 1.0)):
        method = make_ensembling(targets, 3, epochs=4, consistency_weight=7.0, ramp_share=0.5)
        terms = method.step(ScriptedModel(logits), make_batch(targets, epoch=epoch)).terms
        assert float(terms["total"]) == pytest.approx(float(terms["cross_entropy"] + 7 * weight * terms["consistency"]), rel=1e-12)


def test_a_step_updates_the_rows_of_its_batch_alone_and_without_gradient() -> None:
    targets = make_targets(5, 3)
    method, rows = make_ensembling(targets, 3, decay=0.75), torch.tensor([3, 1])
    logits = make_logits(2, 3).float().requires_grad_()
    method.step(ScriptedModel(logits), make_batch(targets[rows], indices=rows))
    assert torch.allclose(method.ensemble[rows], 0.25 * logits.detach().softmax(1), rtol=1e-6)
    assert not bool(method.ensemble[[0, 2, 4]].any())
    assert not method.ensemble.requires_grad
    estimates = logits.detach().argmax(1)
    assert method.label_estimates().tolist() == [-1, int(estimates[1]), -1, int(estimates[0]), -1]


def test_the_ensemble_is_a_float32_buffer_by_sample() -> None:
    method = make_ensembling(make_targets(7, 3), 3)
    assert method.state_dict().keys() == {"ensemble"}
    assert (method.ensemble.shape, method.ensemble.dtype) == ((7, 3), torch.float32)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decay": 1.0}, r"`0 <= decay < 1` must hold, but got decay=1\.0"),
        ({"decay": math.nan}, r"decay=nan"),
        ({"consistency_weight": -1.0}, r"`0 <= consistency_weight < inf` must hold, but got consistency_weight=-1\.0"),
        ({"consistency_weight": math.inf}, r"consistency_weight=inf"),
        ({"ramp_share": 0.0}, r"`0 < ramp_share <= 1` must hold, but got ramp_share=0\.0"),
    ],
)
def test_the_configuration_refuses_settings_out_of_range(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TemporalEnsemblingConfig(**settings)


def test_the_functions_refuse_settings_out_of_range() -> None:
    probs = torch.ones(1, 2) / 2
    with pytest.raises(ConfigError, match=r"`0 <= decay < 1` must hold, but got decay=1\.0"):
        update_ensemble(probs, probs, decay=1.0)
    with pytest.raises(ConfigError, match=r"`weight >= 0` must hold, but got weight=-1\.0"):
        temporal_ensembling_loss(probs, torch.tensor([0]), probs, weight=-1.0)
