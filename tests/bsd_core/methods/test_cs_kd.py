from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bsd_core.errors import ConfigError
from bsd_core.methods.cs_kd import CSKDConfig, cs_kd_loss
from bsd_core.methods.distillation import distillation_loss
from bsd_core.models import build_model
from tests._dummies import ScriptedModel, load_golden, make_batch, make_logits, make_method, make_targets


@pytest.mark.parametrize("which", range(5))
def test_distillation_and_its_gradient_equal_the_golden_numbers(which: int) -> None:
    golden = load_golden("losses")
    logits = torch.from_numpy(golden["logits"]).requires_grad_()
    partner_logits = torch.from_numpy(golden["pair_logits"]).requires_grad_()
    loss = distillation_loss(logits, partner_logits, temperature=float(golden["kd_T"][which]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == pytest.approx(float(golden["kd"][which]), rel=1e-12)
    assert logits.grad is not None
    assert np.allclose(logits.grad.numpy(), golden["kd_grad"][which], rtol=1e-10, atol=1e-15)
    assert partner_logits.grad is None


@pytest.mark.parametrize("which", range(2))
def test_the_total_equals_the_golden_numbers(which: int) -> None:
    golden = load_golden("losses")
    logits, partner_logits, targets = (torch.from_numpy(golden[name]) for name in ("logits", "pair_logits", "labels"))
    terms = cs_kd_loss(logits, partner_logits, targets, temperature=4.0, distill_weight=float(golden["cskd_lambda"][which]))
    assert float(terms["total"]) == pytest.approx(float(golden["cskd_T4"][which]), rel=1e-12)
    assert float(terms["cross_entropy"]) == pytest.approx(float(golden["ce"]), rel=1e-12)
    assert float(terms["distillation"]) == pytest.approx(float(golden["kd"][golden["kd_T"].tolist().index(4)]), rel=1e-12)


def test_the_gradient_of_the_total_equals_the_golden_numbers() -> None:
    golden = load_golden("losses")
    logits = torch.from_numpy(golden["logits"]).requires_grad_()
    partner_logits = torch.from_numpy(golden["pair_logits"]).requires_grad_()
    terms = cs_kd_loss(logits, partner_logits, torch.from_numpy(golden["labels"]), temperature=4.0, distill_weight=1.0)
    terms["total"].backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert np.allclose(logits.grad.numpy(), golden["cskd_grad_lambda1"], rtol=1e-10, atol=1e-15)
    assert partner_logits.grad is None


def test_zero_weight_equals_cross_entropy() -> None:
    logits, partner_logits, targets = make_logits(8, 5), make_logits(8, 5, seed=1), make_targets(8, 5)
    terms = cs_kd_loss(logits, partner_logits, targets, temperature=4.0, distill_weight=0.0)
    assert float(terms["total"]) == float(torch.nn.functional.cross_entropy(logits, targets))


def test_a_partner_with_equal_logits_adds_nothing() -> None:
    logits = make_logits(8, 5)
    assert float(distillation_loss(logits, logits + 3.0, temperature=2.0)) == pytest.approx(0, abs=1e-15)


def test_the_partner_is_the_teacher_in_the_divergence() -> None:
    student, teacher = [0.5, 0.5], [0.9, 0.1]
    loss = distillation_loss(torch.tensor([student]).log(), torch.tensor([teacher]).log(), temperature=1.0)
    # KL(teacher || student); the other direction would be 0.511 instead of 0.368
    assert float(loss) == pytest.approx(0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5), rel=1e-6)


def test_a_step_distils_the_partner_images_without_gradient() -> None:
    targets = make_targets(6, 3)
    logits, partner_logits = make_logits(6, 3).requires_grad_(), make_logits(6, 3, seed=1).requires_grad_()
    model, batch = ScriptedModel(logits, partner_logits), make_batch(targets, needs={"partner"})
    method = make_method("cs_kd", targets, 3, {"temperature": 3.0, "distill_weight": 2.0})
    step = method.step(model, batch)
    expected = cs_kd_loss(logits, partner_logits, targets, temperature=3.0, distill_weight=2.0)
    assert model.seen[0] is batch.images
    assert model.seen[1] is batch.partner_images
    assert model.grad_enabled == [True, False]
    assert {name: float(term.detach()) for name, term in step.terms.items()} == {
        name: float(term.detach()) for name, term in expected.items()
    }
    assert step.logits is logits


def test_partners_update_the_running_statistics_a_second_time() -> None:
    targets = make_targets(6, 3)
    batch = make_batch(targets, needs={"partner"})
    assert batch.partner_images is not None
    model, twin = (build_model("resnet8", in_channels=1, n_classes=3, width=4, seed=0).train() for _ in range(2))
    make_method("cs_kd", targets, 3).step(model, batch)
    twin(batch.images)
    twin(batch.partner_images)
    state, expected = model.state_dict(), twin.state_dict()
    assert int(state["norm.num_batches_tracked"]) == 2
    assert all(torch.equal(state[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("temperature", "distill_weight", "message"),
    [
        (0.0, 1.0, r"`temperature > 0` must hold, but got temperature=0\.0"),
        (-1.0, 1.0, r"temperature=-1\.0"),
        (4.0, -0.5, r"`distill_weight >= 0` must hold, but got distill_weight=-0\.5"),
        (math.nan, 1.0, r"temperature=nan"),
        (4.0, math.nan, r"distill_weight=nan"),
    ],
)
def test_the_loss_refuses_settings_out_of_range(temperature: float, distill_weight: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cs_kd_loss(make_logits(2, 3), make_logits(2, 3), torch.tensor([0, 1]), temperature=temperature, distill_weight=distill_weight)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, r"`0 < temperature < inf` must hold, but got temperature=0\.0"),
        ({"temperature": math.inf}, r"temperature=inf"),
        ({"distill_weight": -1.0}, r"`0 <= distill_weight < inf` must hold, but got distill_weight=-1\.0"),
        ({"distill_weight": math.inf}, r"distill_weight=inf"),
    ],
)
def test_the_configuration_refuses_settings_out_of_range(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CSKDConfig(**settings)


def test_the_defaults_are_the_reference_settings_for_cifar() -> None:
    assert CSKDConfig() == CSKDConfig(temperature=4.0, distill_weight=1.0)
