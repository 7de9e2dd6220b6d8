from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bsd_core.config import AugmentConfig
from bsd_core.data.label_noise import spoil_labels
from bsd_core.errors import ConfigError
from bsd_core.evaluate import predict
from bsd_core.methods.bsd import BayesianSelfDistillation, BSDConfig, bsd_loss, prior, update_posterior
from tests._dummies import (
    PROPERTY,
    ScriptedModel,
    load_golden,
    make_batch,
    make_logits,
    make_method,
    make_recipe,
    make_targets,
    make_toy_images,
    make_trainer,
)


def make_bsd(targets: Tensor, n_classes: int, **settings: Any) -> BayesianSelfDistillation:
    method = make_method("bsd", targets, n_classes, settings)
    assert isinstance(method, BayesianSelfDistillation)
    return method


def alpha_of(method: BayesianSelfDistillation) -> Tensor:
    """(N, K) the whole table, read back."""
    return method.posterior.read(torch.arange(len(method.posterior.values)))


@pytest.mark.parametrize("setting", [0, 1])
def test_posterior_target_loss_and_gradient_equal_the_golden_numbers(setting: int) -> None:
    golden = load_golden("bsd")
    strength, discount, epsilon = golden["cfg_c_gamma_eps"][setting].tolist()
    alpha = prior(torch.from_numpy(golden["labels"]), 4, prior_strength=strength, epsilon=epsilon)
    assert alpha.dtype == torch.float64
    assert np.allclose(alpha.numpy(), golden[f"alpha_{setting}"][0], rtol=1e-14, atol=0)
    for epoch in range(3):
        logits = torch.from_numpy(golden["logits"][epoch]).requires_grad_()
        alpha, target = update_posterior(alpha, logits.softmax(1), discount=discount)
        loss = bsd_loss(logits, target)["total"]
        loss.backward()  # type: ignore[no-untyped-call]
        assert not alpha.requires_grad
        assert not target.requires_grad
        assert np.allclose(alpha.numpy(), golden[f"alpha_{setting}"][epoch + 1], rtol=1e-12, atol=0)
        assert np.allclose(target.numpy(), golden[f"target_{setting}"][epoch], rtol=1e-12, atol=0)
        assert float(loss.detach()) == pytest.approx(float(golden[f"loss_{setting}"][epoch]), rel=1e-12)
        assert logits.grad is not None
        assert np.allclose(logits.grad.numpy(), golden[f"grad_{setting}"][epoch], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("setting", [0, 1])
def test_the_method_follows_the_golden_numbers_over_its_steps(setting: int) -> None:
    golden = load_golden("bsd")
    strength, discount, epsilon = golden["cfg_c_gamma_eps"][setting].tolist()
    targets = torch.from_numpy(golden["labels"])
    method = make_bsd(targets, 4, prior_strength=strength, discount=discount, epsilon=epsilon)
    for epoch in range(3):
        logits = torch.from_numpy(golden["logits"][epoch]).requires_grad_()
        step = method.step(ScriptedModel(logits), make_batch(targets))
        step.terms["total"].backward()  # type: ignore[no-untyped-call]
        # The table is float32.
        assert np.allclose(alpha_of(method).numpy(), golden[f"alpha_{setting}"][epoch + 1], rtol=1e-5, atol=0)
        assert float(step.terms["total"].detach()) == pytest.approx(float(golden[f"loss_{setting}"][epoch]), rel=1e-6)
        assert logits.grad is not None
        assert np.allclose(logits.grad.numpy(), golden[f"grad_{setting}"][epoch], rtol=1e-5, atol=1e-7)


def test_the_prior_has_its_strength_at_the_label_and_epsilon_elsewhere() -> None:
    table = prior(torch.tensor([2, 0]), 3, prior_strength=5.0, epsilon=0.25)
    assert table.tolist() == [[0.25, 0.25, 5.0], [5.0, 0.25, 0.25]]


def test_an_update_by_hand() -> None:
    alpha, target = update_posterior(torch.tensor([[10.0, 0.0]]), torch.tensor([[0.25, 0.75]]), discount=0.5)
    assert alpha.tolist() == [[5.25, 0.75]]
    assert target.tolist() == [[5.25 / 6, 0.75 / 6]]


@PROPERTY
@given(strength=st.floats(0.1, 100), discount=st.floats(0.05, 1), n_updates=st.integers(1, 12), seed=st.integers(0, 9))
def test_the_normaliser_and_the_weight_of_the_label_have_a_closed_form(strength: float, discount: float, n_updates: int, seed: int) -> None:
    targets = make_targets(4, 3)
    alpha = prior(targets, 3, prior_strength=strength, epsilon=0.0)
    evidence = torch.zeros_like(alpha)
    for update in range(n_updates):
        probs = make_logits(4, 3, seed=seed + 10 * update).softmax(1)
        evidence = discount * evidence + probs
        alpha, target = update_posterior(alpha, probs, discount=discount)
    geometric = sum(discount**power for power in range(n_updates))  # 1 + gamma + ... = (1 - gamma^t) / (1 - gamma)
    normaliser = discount**n_updates * strength + geometric
    assert alpha.sum(1).tolist() == pytest.approx([normaliser] * 4, rel=1e-10)
    label_weight = discount**n_updates * strength / normaliser
    one_hot = torch.nn.functional.one_hot(targets, 3).double()
    assert torch.allclose(target, label_weight * one_hot + evidence / normaliser, rtol=1e-10, atol=1e-12)


@PROPERTY
@given(strength=st.floats(0.1, 100), discount=st.floats(0.05, 1), seed=st.integers(0, 20))
def test_the_current_prediction_in_the_target_only_rescales_the_gradient(strength: float, discount: float, seed: int) -> None:
    alpha = prior(make_targets(5, 4), 4, prior_strength=strength, epsilon=0.0)
    alpha, previous_target = update_posterior(alpha, make_logits(5, 4, seed=seed + 100).softmax(1), discount=discount)
    logits = make_logits(5, 4, seed=seed).requires_grad_()
    alpha, target = update_posterior(alpha, logits.softmax(1), discount=discount)
    bsd_loss(logits, target)["total"].backward()  # type: ignore[no-untyped-call]
    normaliser = alpha.sum(1, keepdim=True)
    expected = (normaliser - 1) / normaliser * (logits.detach().softmax(1) - previous_target) / 5
    assert logits.grad is not None
    assert torch.allclose(logits.grad, expected, rtol=1e-9, atol=1e-14)


def test_a_prior_of_great_strength_is_cross_entropy() -> None:
    targets = make_targets(8, 5)
    logits = make_logits(8, 5)
    step = make_bsd(targets, 5, prior_strength=1e9).step(ScriptedModel(logits), make_batch(targets))
    assert float(step.terms["total"]) == pytest.approx(float(torch.nn.functional.cross_entropy(logits, targets)), rel=1e-6)


def test_without_prior_the_target_is_the_bias_corrected_running_mean() -> None:
    # Temporal Ensembling with the current prediction: Z <- a Z + (1 - a) p, target Z / (1 - a^t).
    alpha, mean, decay = torch.zeros(4, 3, dtype=torch.float64), torch.zeros(4, 3, dtype=torch.float64), 0.6
    for update in range(1, 5):
        probs = make_logits(4, 3, seed=update).softmax(1)
        mean = decay * mean + (1 - decay) * probs
        alpha, target = update_posterior(alpha, probs, discount=decay)
        assert torch.allclose(target, mean / (1 - decay**update), rtol=1e-12, atol=0)


def test_a_step_updates_the_rows_of_its_batch_alone() -> None:
    targets = make_targets(6, 3)
    method = make_bsd(targets, 3, prior_strength=4.0, discount=0.5, epsilon=0.0)
    before = alpha_of(method).clone()
    rows = torch.tensor([4, 1])
    logits = make_logits(2, 3).float()
    method.step(ScriptedModel(logits), make_batch(targets[rows], indices=rows))
    expected = before.clone()
    expected[rows] = 0.5 * before[rows] + logits.softmax(1)
    assert torch.allclose(alpha_of(method), expected, rtol=1e-6)
    assert torch.equal(alpha_of(method)[[0, 2, 3, 5]], before[[0, 2, 3, 5]])


def test_the_temperature_sharpens_the_evidence_and_not_the_loss() -> None:
    targets = torch.tensor([0])
    method = make_bsd(targets, 2, prior_strength=1.0, discount=1.0, temperature=0.5, epsilon=0.0)
    logits = torch.tensor([[0.0, math.log(3)]], dtype=torch.float64)
    step = method.step(ScriptedModel(logits), make_batch(targets))
    # softmax(z) = (1/4, 3/4); softmax(2 z) = (1/10, 9/10); posterior (1.1, 0.9), target (0.55, 0.45)
    assert alpha_of(method).tolist() == pytest.approx(np.array([[1.1, 0.9]]), rel=1e-6)
    assert float(step.terms["total"]) == pytest.approx(-(0.55 * math.log(1 / 4) + 0.45 * math.log(3 / 4)), rel=1e-6)


def test_no_gradient_flows_into_the_posterior() -> None:
    targets = make_targets(4, 3)
    logits = make_logits(4, 3).requires_grad_()
    method = make_bsd(targets, 3)
    step = method.step(ScriptedModel(logits), make_batch(targets))
    (grad,) = torch.autograd.grad(step.terms["total"], logits)
    target = (alpha_of(method) / alpha_of(method).sum(1, keepdim=True)).double()
    # With a constant target the gradient is (p - target) / B, nothing more.
    assert torch.allclose(grad, (logits.detach().softmax(1) - target) / 4, rtol=1e-5, atol=1e-8)
    assert not alpha_of(method).requires_grad


def test_the_label_estimate_is_the_largest_share_of_the_posterior() -> None:
    method = make_bsd(torch.tensor([0, 1]), 3, prior_strength=1.0, discount=0.5)
    assert method.label_estimates().tolist() == [0, 1]
    sure_of_two = torch.tensor([[0.0, 0.0, 20.0], [0.0, 20.0, 0.0]])
    method.step(ScriptedModel(sure_of_two), make_batch(torch.tensor([0, 1])))
    # row 0: 0.5 pseudo-counts for the label against 1 of evidence for class 2
    assert method.label_estimates().tolist() == [2, 1]


def test_the_posterior_is_a_float32_buffer_by_sample() -> None:
    method = make_bsd(make_targets(7, 3), 3)
    assert dict(method.named_buffers()).keys() == {"posterior.values"}
    assert (method.posterior.values.shape, method.posterior.values.dtype) == ((7, 3), torch.float32)
    assert method.state_dict().keys() == {"posterior.values"}


@PROPERTY
@given(discount=st.floats(0.05, 0.99), n_updates=st.integers(1, 12), seed=st.integers(0, 9))
def test_the_normaliser_is_constant_at_the_fixed_point(discount: float, n_updates: int, seed: int) -> None:
    strength = 1 / (1 - discount)
    alpha = prior(make_targets(4, 3), 3, prior_strength=strength, epsilon=0.0)
    for update in range(n_updates):
        alpha, _ = update_posterior(alpha, make_logits(4, 3, seed=seed + 10 * update).softmax(1), discount=discount)
        assert alpha.sum(1).tolist() == pytest.approx([strength] * 4, rel=1e-10)


def test_without_prior_the_target_is_temporal_ensemblings_golden_one() -> None:
    golden = load_golden("temporal_ensembling")
    alpha = torch.zeros(golden["probs"].shape[1:], dtype=torch.float64)
    for probs, expected in zip(golden["probs"], golden["targets_for_next_epoch"], strict=True):
        alpha, target = update_posterior(alpha, torch.from_numpy(probs), discount=float(golden["alpha"]))
        assert np.allclose(target.numpy(), expected, rtol=1e-12, atol=0)


def test_a_huge_prior_trains_exactly_like_cross_entropy() -> None:
    trainers = [make_trainer(make_recipe("bsd", settings={"prior_strength": 1e12})), make_trainer(make_recipe("cross_entropy"))]
    for trainer in trainers:
        list(trainer.records())
    ours, theirs = (trainer.model.state_dict() for trainer in trainers)
    assert all(torch.allclose(ours[key], theirs[key], rtol=1e-3, atol=1e-5) for key in ours)


def test_before_the_first_update_the_target_is_the_priors_mean() -> None:
    targets, logits = make_targets(4, 3), make_logits(4, 3)
    method = make_method("bsd", targets, 3, {"prior_strength": 3.0, "epsilon": 0.5, "warmup_epochs": 2}, epochs=3)
    assert isinstance(method, BayesianSelfDistillation)
    before = alpha_of(method)
    for epoch in (0, 1):
        step = method.step(ScriptedModel(logits), make_batch(targets, epoch=epoch))
        assert torch.equal(alpha_of(method), before)
        assert float(step.terms["total"]) == pytest.approx(float(bsd_loss(logits, (before / 4).double())["total"]), rel=1e-6)
    method.step(ScriptedModel(logits), make_batch(targets, epoch=2))
    assert torch.allclose(alpha_of(method), 0.9 * before + logits.softmax(1).float(), rtol=1e-6)


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_warm_up_as_long_as_the_training_is_refused(epochs: int) -> None:
    with pytest.raises(ConfigError, match=rf"never be updated: bsd's warmup_epochs is 3, of {epochs} epochs in all"):
        make_method("bsd", make_targets(4, 3), 3, {"warmup_epochs": 3}, epochs=epochs)


def test_clean_evidence_comes_from_the_pass_at_the_end_of_an_epoch() -> None:
    targets, logits = make_targets(4, 3), make_logits(4, 3)
    method = make_bsd(targets, 3, prior_strength=3.0, epsilon=0.5, discount=0.5, evidence="clean", warmup_epochs=1)
    before = alpha_of(method)
    step = method.step(ScriptedModel(logits), make_batch(targets, epoch=1))
    assert torch.equal(alpha_of(method), before)
    assert float(step.terms["total"]) == pytest.approx(float(bsd_loss(logits, (before / 4).double())["total"]), rel=1e-6)
    rows = torch.tensor([2, 0])
    method.observe(rows, logits[rows], epoch=0, chunk=0)
    assert torch.equal(alpha_of(method), before)
    method.observe(rows, logits[rows], epoch=1, chunk=0)
    assert torch.allclose(alpha_of(method)[rows], 0.5 * before[rows] + logits[rows].softmax(1).float(), rtol=1e-6)
    assert torch.equal(alpha_of(method)[[1, 3]], before[[1, 3]])


def test_a_training_on_clean_evidence_reads_plain_images_in_evaluation_mode() -> None:
    recipe = make_recipe("bsd", settings={"evidence": "clean", "discount": 0.5, "prior_strength": 4.0}, epochs=2)
    trainer = make_trainer(recipe, n=50)
    before = trainer.method.posterior.read(torch.arange(50))  # type: ignore[operator, union-attr]
    record = trainer.run_epoch()
    images, _ = make_toy_images(50)
    evidence = predict(trainer.model, images, trainer.normaliser).softmax(1).float()
    after = trainer.method.posterior.read(torch.arange(50))  # type: ignore[operator, union-attr]
    assert torch.allclose(after, 0.5 * before + evidence, rtol=1e-5, atol=1e-6)
    assert record.images_seen == 100


@pytest.mark.parametrize("memory", ["bfloat16", "top_k"])
def test_a_smaller_memory_learns_the_same_labels(memory: str) -> None:
    _, true = make_toy_images(120)
    noisy = spoil_labels(true, "symmetric", 0.2, n_classes=3, seed=0)
    recovered = []
    for settings in ({}, {"memory": memory, "top_k": 2}):
        recipe = make_recipe("bsd", settings={"prior_strength": 2.0, "discount": 0.7, **settings}, epochs=8, augment=AugmentConfig())
        trainer = make_trainer(recipe, n=120, given=noisy, true=true)
        recovered.append(list(trainer.records())[-1].label_recovery)
    assert recovered[0] == pytest.approx(recovered[1], abs=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"warmup_epochs": -1}, r"`warmup_epochs >= 0` must hold, but got warmup_epochs=-1"),
        ({"evidence": "clear"}, r"Unknown bsd evidence 'clear'\. Did you mean 'clean'\? Known: clean, train"),
        ({"memory": "float"}, r"Unknown bsd memory 'float'"),
        ({"top_k": 0}, r"`top_k >= 1` must hold"),
        ({"prior_strength": 0.0}, r"`0 < prior_strength <= 1e30` must hold, but got prior_strength=0\.0"),
        ({"prior_strength": math.inf}, r"prior_strength=inf"),
        ({"discount": 0.0}, r"`0 < discount <= 1` must hold, but got discount=0\.0"),
        ({"discount": 1.01}, r"discount=1\.01"),
        ({"temperature": 0.0}, r"`0 < temperature < inf` must hold, but got temperature=0\.0"),
        ({"temperature": math.nan}, r"temperature=nan"),
        ({"epsilon": -1e-9}, r"`0 <= epsilon < inf` must hold, but got epsilon=-1e-09"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BSDConfig(**settings)


@pytest.mark.parametrize(("strength", "epsilon", "message"), [(-1.0, 0.0, r"`prior_strength >= 0`"), (1.0, -1.0, r"`epsilon >= 0`")])
def test_a_negative_prior_is_refused(strength: float, epsilon: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        prior(torch.tensor([0]), 2, prior_strength=strength, epsilon=epsilon)
