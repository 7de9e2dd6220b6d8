from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bsd_core.errors import ConfigError
from bsd_core.methods.cs_kd import cs_kd_loss
from bsd_core.methods.cs_kd_e import CSKDEConfig, cs_kd_e_loss
from bsd_core.models import build_model
from tests._dummies import ScriptedModel, load_golden, make_batch, make_logits, make_method, make_targets


def test_both_divergences_and_the_gradient_follow_from_the_golden_numbers() -> None:
    golden = load_golden("losses")
    logits, pair_logits = (torch.from_numpy(golden[name]) for name in ("logits", "pair_logits"))
    logits.requires_grad_()
    at_4 = golden["kd_T"].tolist().index(4)
    # The pair's logits stand for the partner's and for the second view's.
    terms = cs_kd_e_loss(
        logits, pair_logits, pair_logits, torch.from_numpy(golden["labels"]), temperature=4.0, distill_weight=1.0, view_weight=2.0
    )
    terms["total"].backward()  # type: ignore[no-untyped-call]
    assert float(terms["distillation"].detach()) == pytest.approx(float(golden["kd"][at_4]), rel=1e-12)
    assert float(terms["consistency"].detach()) == pytest.approx(float(golden["kd"][at_4]), rel=1e-12)
    assert float(terms["total"].detach()) == pytest.approx(float(golden["ce"] + 3 * golden["kd"][at_4]), rel=1e-12)
    assert logits.grad is not None
    assert np.allclose(logits.grad.numpy(), golden["ce_grad"] + 3 * golden["kd_grad"][at_4], rtol=1e-10, atol=1e-15)


def test_without_weight_on_the_views_it_is_cs_kd() -> None:
    logits, partner_logits, view_logits = (make_logits(8, 5, seed=seed) for seed in range(3))
    targets = make_targets(8, 5)
    terms = cs_kd_e_loss(logits, partner_logits, view_logits, targets, temperature=3.0, distill_weight=2.0, view_weight=0.0)
    expected = cs_kd_loss(logits, partner_logits, targets, temperature=3.0, distill_weight=2.0)
    assert float(terms["total"]) == float(expected["total"])


def test_the_second_view_is_the_teacher_in_its_divergence() -> None:
    student, view = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.9, 0.1]]).log().requires_grad_()
    student.requires_grad_()
    terms = cs_kd_e_loss(student, student, view, torch.tensor([0]), temperature=1.0, distill_weight=1.0, view_weight=1.0)
    terms["total"].backward()  # type: ignore[no-untyped-call]
    # KL(view || student); the other direction would be 0.511 instead of 0.368
    assert float(terms["consistency"].detach()) == pytest.approx(0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5), rel=1e-6)
    assert view.grad is None
    assert student.grad is not None
    assert student.grad.tolist()[0] == pytest.approx([0.5 - 1 + 0.5 - 0.9, 0.5 + 0.5 - 0.1])  # p - e_y, and p - view


def test_a_step_passes_partners_and_second_views_without_gradient() -> None:
    targets = make_targets(6, 3)
    logits, partner_logits, view_logits = (make_logits(6, 3, seed=seed).requires_grad_() for seed in range(3))
    model, batch = ScriptedModel(logits, partner_logits, view_logits), make_batch(targets, needs={"partner", "second_view"})
    settings = {"temperature": 3.0, "distill_weight": 2.0, "view_weight": 0.5}
    step = make_method("cs_kd_e", targets, 3, settings).step(model, batch)
    assert model.seen[0] is batch.images
    assert model.seen[1] is batch.partner_images
    assert model.seen[2] is batch.second_images
    assert model.grad_enabled == [True, False, False]
    assert step.logits is logits
    assert step.images_seen == 18
    expected = cs_kd_e_loss(logits, partner_logits, view_logits, targets, **settings)
    assert float(step.terms["total"].detach()) == float(expected["total"].detach())


def test_every_pass_updates_the_running_statistics() -> None:
    targets = make_targets(6, 3)
    batch = make_batch(targets, needs={"partner", "second_view"})
    model, twin = (build_model("resnet8", in_channels=1, n_classes=3, width=4, seed=0).train() for _ in range(2))
    make_method("cs_kd_e", targets, 3).step(model, batch)
    for images in (batch.images, batch.partner_images, batch.second_images):
        twin(images)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in twin.state_dict().items())


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_a_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(ConfigError, match=r"`0 <= view_weight < inf` must hold"):
        CSKDEConfig(view_weight=weight)


def test_cs_kd_s_settings_are_checked_too() -> None:
    with pytest.raises(ConfigError, match=r"temperature=0\.0"):
        CSKDEConfig(temperature=0.0)
    logits = make_logits(2, 3)
    with pytest.raises(ConfigError, match=r"`view_weight >= 0` must hold, but got view_weight=-1\.0"):
        cs_kd_e_loss(logits, logits, logits, torch.tensor([0, 1]), temperature=1.0, distill_weight=1.0, view_weight=-1.0)
