from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.errors import ConfigError
from bsd_core.methods import method_config
from bsd_core.methods.sop import SOPConfig, SparseOverparameterization, sop_loss
from tests._dummies import ScriptedModel, load_golden, make_batch, make_logits, make_method, make_recipe, make_targets, make_trainer

PLUS = {"balance_weight": 0.1, "consistency_weight": 0.9}


def make_sop(targets: Tensor, n_classes: int, **settings: Any) -> SparseOverparameterization:
    method = make_method("sop", targets, n_classes, settings)
    assert isinstance(method, SparseOverparameterization)
    return method


def make_noise(n: int, n_classes: int, *, scale: float = 0.3) -> tuple[Tensor, Tensor]:
    """u and v of a training that has found some noise."""
    rng = np.random.default_rng(7)
    return torch.from_numpy(rng.normal(0, scale, (n, 1))), torch.from_numpy(rng.normal(0, scale, (n, n_classes)))


def test_the_terms_equal_the_golden_numbers() -> None:
    golden = load_golden("losses")
    logits, targets, u, v = (torch.from_numpy(golden[name]) for name in ("logits", "labels", "sop_u", "sop_v"))
    terms = sop_loss(logits, targets, u, v, balance_weight=0.1)
    assert float(terms["cross_entropy"]) == pytest.approx(float(golden["sop_ce"]), rel=1e-12)
    assert float(terms["squared_error"]) == pytest.approx(float(golden["sop_mse"]), rel=1e-12)
    assert float(terms["balance"]) == pytest.approx(float(golden["sop_balance"]), rel=1e-12)
    assert float(terms["total"]) == pytest.approx(float(golden["sop_total_balance0.1"]), rel=1e-12)
    plain = sop_loss(logits, targets, u, v)
    assert plain.keys() == {"cross_entropy", "squared_error", "total"}
    assert float(plain["total"]) == pytest.approx(float(golden["sop_ce"] + golden["sop_mse"]), rel=1e-12)


def test_the_consistency_of_two_views_is_a_divergence_from_the_first() -> None:
    logits, second, targets = make_logits(6, 4).requires_grad_(), make_logits(6, 4, seed=1).requires_grad_(), make_targets(6, 4)
    u, v = make_noise(6, 4)
    terms = sop_loss(logits, targets, u, v, consistency_weight=0.9, second_logits=second)
    p, q = logits.detach().softmax(1).numpy(), second.detach().softmax(1).numpy()
    assert float(terms["consistency"].detach()) == pytest.approx((p * np.log(p / q)).sum() / 6, rel=1e-12)
    terms["consistency"].backward()  # type: ignore[no-untyped-call]
    assert logits.grad is None  # the first view is the teacher
    assert second.grad is not None
    assert np.allclose(second.grad.numpy(), (q - p) / 6, rtol=1e-10, atol=1e-15)
    plain = sop_loss(logits, targets, u, v)["total"]
    assert float((terms["total"] - plain).detach()) == pytest.approx(0.9 * float(terms["consistency"].detach()), rel=1e-10)


def test_one_sample_by_hand() -> None:
    logits = torch.tensor([[0.75, 0.25]], dtype=torch.float64).log()
    u, v = torch.tensor([[0.5]], dtype=torch.float64), torch.tensor([[0.6, 9.0]], dtype=torch.float64)
    terms = sop_loss(logits, torch.tensor([1]), u, v)
    # U = (0, 0.25), V = (0.36, 0): the label's own entry of v plays no part
    assert float(terms["cross_entropy"]) == pytest.approx(-math.log(0.5 / (0.39 + 0.5)))
    assert float(terms["squared_error"]) == pytest.approx((1 - 0.36) ** 2 + (0.25 - 1) ** 2)


def test_without_noise_it_is_cross_entropy_and_twice_the_share_of_wrong_predictions() -> None:
    logits, targets = make_logits(8, 5, scale=0.5), make_targets(8, 5)
    terms = sop_loss(logits, targets, torch.zeros(8, 1).double(), torch.zeros(8, 5).double())
    wrong = (logits.argmax(1) != targets).double().mean()
    assert float(terms["cross_entropy"]) == pytest.approx(float(functional.cross_entropy(logits, targets)), rel=1e-12)
    assert float(terms["squared_error"]) == pytest.approx(2 * float(wrong))


def test_v_learns_from_the_squared_error_alone_and_u_from_both() -> None:
    logits, targets = make_logits(6, 4).requires_grad_(), make_targets(6, 4)
    u, v = (noise.requires_grad_() for noise in make_noise(6, 4))
    terms = sop_loss(logits, targets, u, v, balance_weight=0.1)
    label = functional.one_hot(targets, 4).double()
    predicted = functional.one_hot(logits.detach().argmax(1), 4).double()
    rest = (predicted + u.detach() ** 2 * label - v.detach() ** 2 * (1 - label) - label) / 6
    (of_v,) = torch.autograd.grad(terms["total"], v, retain_graph=True)
    assert torch.allclose(of_v, 2 * rest * -2 * v.detach() * (1 - label), rtol=1e-10, atol=1e-15)
    of_logits, of_u = torch.autograd.grad(terms["cross_entropy"], (logits, u), retain_graph=True)
    assert bool(of_logits.any())
    assert bool(of_u.any())
    terms["squared_error"].backward()  # type: ignore[no-untyped-call]
    assert logits.grad is None  # argmax has none
    assert u.grad is not None
    assert torch.allclose(u.grad, (2 * rest * 2 * u.detach() * label).sum(1, keepdim=True), rtol=1e-10, atol=1e-15)


def test_noise_is_clamped_at_one() -> None:
    logits, targets = make_logits(3, 4), torch.tensor([0, 1, 2])
    beyond = sop_loss(logits, targets, torch.full((3, 1), 5.0).double(), torch.full((3, 4), -3.0).double())
    at_one = sop_loss(logits, targets, torch.ones(3, 1).double(), torch.ones(3, 4).double())
    assert float(beyond["total"]) == float(at_one["total"])


def test_a_step_moves_the_rows_of_its_batch_as_plain_sgd_on_all_rows_would() -> None:
    targets = make_targets(7, 3)
    method = make_sop(targets, 3, learning_rate_u=2.0, learning_rate_v=5.0)
    u, v = (noise.float() for noise in make_noise(7, 3))
    method.u.copy_(u)
    method.v.copy_(v)
    u_twin, v_twin = torch.nn.Parameter(u.clone()), torch.nn.Parameter(v.clone())
    optimizer = torch.optim.SGD([{"params": [u_twin], "lr": 2.0}, {"params": [v_twin], "lr": 5.0}])
    for seed, rows in enumerate((torch.tensor([5, 0, 3]), torch.tensor([1, 3]))):
        logits = make_logits(len(rows), 3, seed=seed).float().requires_grad_()
        step = method.step(ScriptedModel(logits), make_batch(targets[rows], indices=rows))
        step.terms["total"].backward()  # type: ignore[no-untyped-call]
        method.after_backward()
        optimizer.zero_grad()
        sop_loss(logits.detach(), targets[rows], u_twin[rows], v_twin[rows])["total"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert torch.allclose(method.u, u_twin.detach(), rtol=1e-6, atol=1e-9)
    assert torch.allclose(method.v, v_twin.detach(), rtol=1e-6, atol=1e-9)
    assert torch.equal(method.u[[2, 4, 6]], u[[2, 4, 6]])
    assert torch.equal(method.v[[2, 4, 6]], v[[2, 4, 6]])
    assert not method.u.requires_grad
    assert not method.v.requires_grad


def test_a_label_that_is_contradicted_for_long_is_found_to_be_noise_and_others_are_not() -> None:
    targets = torch.tensor([0, 1])
    method = make_sop(targets, 3, learning_rate_u=1.0, learning_rate_v=1.0)
    logits = torch.tensor([[0.0, 8.0, 0.0], [0.0, 8.0, 0.0]], requires_grad=True)  # the first label is wrong
    for _ in range(60):
        method.step(ScriptedModel(logits), make_batch(targets)).terms["total"].backward()  # type: ignore[no-untyped-call]
        method.after_backward()
    found_u, found_v = method.u.square(), method.v.square()
    assert float(found_u[0]) > 0.9
    assert float(found_v[0, 1]) > 0.9
    assert float(found_u[1]) < 1e-6
    assert float(found_v[1].max()) < 1e-6


def test_both_views_pass_the_network_together_where_they_are_to_be_consistent() -> None:
    targets = make_targets(6, 3)
    logits, second = make_logits(6, 3), make_logits(6, 3, seed=1)
    batch = make_batch(targets, needs={"second_view"})
    assert batch.second_images is not None
    model = ScriptedModel(torch.cat([logits, second]))
    method = make_sop(targets, 3, **PLUS)
    step = method.step(model, batch)
    expected = sop_loss(logits, targets, method.u, method.v, second_logits=second, **PLUS)
    assert len(model.seen) == 1
    assert torch.equal(model.seen[0], torch.cat([batch.images, batch.second_images]))
    assert {name: float(term.detach()) for name, term in step.terms.items()} == {name: float(term) for name, term in expected.items()}
    assert torch.equal(step.logits, logits)
    assert step.images_seen == 12


def test_a_second_view_is_asked_for_and_counted_only_where_it_is_used() -> None:
    plain, balanced, plus = (method_config("sop", settings) for settings in ({}, {"balance_weight": 0.1}, PLUS))
    assert [config.needs for config in (plain, balanced, plus)] == [frozenset(), frozenset(), frozenset({"second_view"})]
    assert [config.images_per_sample for config in (plain, balanced, plus)] == [1.0, 1.0, 2.0]


def test_a_training_with_both_terms_learns_counts_its_images_and_continues_from_its_state() -> None:
    recipe = make_recipe("sop", settings=PLUS, epochs=4)
    straight, resumed = (make_trainer(recipe, n=60) for _ in range(2))
    first = straight.run_epoch()
    resumed.load_state_dict(copy.deepcopy(straight.state_dict()))
    assert resumed.method.state_dict().keys() == {"u", "v"}
    expected, got = ([trainer.run_epoch() for _ in range(3)] for trainer in (straight, resumed))
    assert [record.train_loss for record in got] == [record.train_loss for record in expected]
    assert torch.equal(resumed.method.state_dict()["v"], straight.method.state_dict()["v"])
    assert expected[-1].train_loss < first.train_loss
    assert [record.images_seen for record in (first, *expected)] == [120] * 4


def test_noise_starts_at_almost_nothing_and_follows_the_seed() -> None:
    targets = make_targets(2000, 5)
    methods = [make_method("sop", targets, 5, seed=seed) for seed in (0, 0, 1)]
    states = [method.state_dict() for method in methods]
    assert (states[0]["u"].shape, states[0]["v"].shape) == ((2000, 1), (2000, 5))
    assert float(states[0]["v"].std()) == pytest.approx(1e-8, rel=0.05)
    assert torch.equal(states[0]["v"], states[1]["v"])
    assert not torch.equal(states[0]["v"], states[2]["v"])


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(SOPConfig)])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_the_configuration_refuses_settings_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"`0 <= {name} < inf` must hold, but got {name}={value}"):
        SOPConfig(**{name: value})


@pytest.mark.parametrize("name", ["balance_weight", "consistency_weight"])
def test_the_loss_refuses_a_negative_weight(name: str) -> None:
    settings: dict[str, Any] = {name: -1.0}
    with pytest.raises(ConfigError, match=rf"`{name} >= 0` must hold, but got {name}=-1\.0"):
        sop_loss(make_logits(2, 3), torch.tensor([0, 1]), *make_noise(2, 3), **settings)


def test_the_defaults_are_the_reference_settings_without_what_makes_it_sop_plus() -> None:
    assert SOPConfig() == SOPConfig(learning_rate_u=1.0, learning_rate_v=10.0, balance_weight=0.0, consistency_weight=0.0)
