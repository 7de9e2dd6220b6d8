from __future__ import annotations

import math

import pytest
import torch

from bsd_core.errors import ConfigError
from bsd_core.methods.cs_kd import cs_kd_loss
from bsd_core.methods.kd import kd_loss
from bsd_core.methods.kd_cs_kd import KDCSKDConfig, kd_cs_kd_loss
from bsd_core.seeds import derive_seed
from tests._dummies import ScriptedModel, load_golden, make_batch, make_logits, make_method, make_network, make_targets


def test_the_loss_equals_the_golden_numbers_of_its_parts() -> None:
    golden = load_golden("losses")
    logits, pair_logits = (torch.from_numpy(golden[name]).requires_grad_() for name in ("logits", "pair_logits"))
    labels = torch.from_numpy(golden["labels"])
    terms = kd_cs_kd_loss(logits, pair_logits, pair_logits, labels, temperature=4.0, distill_share=0.3, partner_weight=2.0)
    terms["total"].backward()  # type: ignore[no-untyped-call]
    at_4 = golden["kd_T"].tolist().index(4)
    assert float(terms["total"].detach()) == pytest.approx(float(0.7 * golden["ce"] + 2.3 * golden["kd"][at_4]), rel=1e-12)
    assert logits.grad is not None
    assert torch.allclose(logits.grad, torch.from_numpy(0.7 * golden["ce_grad"] + 2.3 * golden["kd_grad"][at_4]), rtol=1e-10, atol=1e-15)
    assert pair_logits.grad is None


def test_its_ends_are_kd_and_cs_kd() -> None:
    logits, teacher_logits, partner_logits = (make_logits(8, 5, seed=seed) for seed in range(3))
    targets = make_targets(8, 5)
    kd = kd_cs_kd_loss(logits, teacher_logits, partner_logits, targets, temperature=3.0, distill_share=0.6, partner_weight=0.0)
    assert float(kd["total"]) == float(kd_loss(logits, teacher_logits, targets, temperature=3.0, distill_share=0.6)["total"])
    cs_kd = kd_cs_kd_loss(logits, teacher_logits, partner_logits, targets, temperature=3.0, distill_share=0.0, partner_weight=2.0)
    expected = cs_kd_loss(logits, partner_logits, targets, temperature=3.0, distill_weight=2.0)
    assert float(cs_kd["total"]) == pytest.approx(float(expected["total"]), rel=1e-14)


def test_a_step_of_the_student_has_partners_and_a_teacher() -> None:
    targets = make_targets(6, 3)
    logits, partner_logits = make_logits(6, 3).requires_grad_(), make_logits(6, 3, seed=1).requires_grad_()
    model, batch = ScriptedModel(logits, partner_logits), make_batch(targets, needs={"partner"}, step=7)
    settings = {"temperature": 3.0, "distill_share": 0.4, "partner_weight": 2.0}
    step = make_method("kd_cs_kd", targets, 3, settings).step(model, batch)
    teacher_logits = make_network(seed=derive_seed(0, "teacher")).eval()(batch.images).double()
    expected = kd_cs_kd_loss(logits, teacher_logits, partner_logits, targets, **settings)
    assert model.seen[0] is batch.images
    assert model.seen[1] is batch.partner_images
    assert model.grad_enabled == [True, False]
    assert step.images_seen == 18
    assert float(step.terms["total"].detach()) == pytest.approx(float(expected["total"].detach()), rel=1e-5)


def test_a_step_of_the_teacher_is_cross_entropy_alone() -> None:
    targets = make_targets(6, 3)
    step = make_method("kd_cs_kd", targets, 3).step(ScriptedModel(), make_batch(targets, needs={"partner"}, step=0))
    assert step.images_seen == 6
    assert list(step.terms) == ["total"]


def test_the_partners_count_in_the_student_s_steps() -> None:
    assert KDCSKDConfig().images_per_sample == 0.5 * 1 + 0.5 * 3
    assert KDCSKDConfig(teacher="a file").images_per_sample == 3.0


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_a_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(ConfigError, match=r"`0 <= partner_weight < inf` must hold"):
        KDCSKDConfig(partner_weight=weight)


def test_the_other_settings_are_checked_too() -> None:
    with pytest.raises(ConfigError, match=r"distill_share=2\.0"):
        KDCSKDConfig(distill_share=2.0)
    logits = make_logits(2, 3)
    with pytest.raises(ConfigError, match=r"`partner_weight >= 0` must hold, but got partner_weight=-1\.0"):
        kd_cs_kd_loss(logits, logits, logits, torch.tensor([0, 1]), temperature=1.0, distill_share=0.5, partner_weight=-1.0)
