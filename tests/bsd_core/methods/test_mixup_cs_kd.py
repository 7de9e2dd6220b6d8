from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.nn import functional

from bsd_core.errors import ConfigError
from bsd_core.methods.cs_kd import cs_kd_loss
from bsd_core.methods.mixing import draw_mix
from bsd_core.methods.mixup_cs_kd import MixupCSKDConfig, mixup_cs_kd_loss
from tests._dummies import ScriptedModel, load_golden, make_batch, make_logits, make_method, make_targets


def test_the_loss_equals_the_golden_numbers_of_its_parts() -> None:
    golden = load_golden("losses")
    labels = torch.from_numpy(golden["labels"])
    terms = mixup_cs_kd_loss(
        torch.from_numpy(golden["logits"]),
        torch.from_numpy(golden["pair_logits"]),
        labels,
        labels[torch.from_numpy(golden["mixup_perm"])],
        float(golden["mixup_lam"]),
        temperature=4.0,
        distill_weight=3.0,
    )
    divergence = float(golden["kd"][golden["kd_T"].tolist().index(4)])
    assert float(terms["cross_entropy"]) == pytest.approx(float(golden["mixup"]), rel=1e-12)
    assert float(terms["distillation"]) == pytest.approx(divergence, rel=1e-12)
    assert float(terms["total"]) == pytest.approx(float(golden["mixup"]) + 3 * divergence, rel=1e-12)


def test_no_gradient_reaches_the_mixed_partners_and_that_of_the_primaries_is_by_hand() -> None:
    logits, partner_logits = make_logits(4, 3).requires_grad_(), make_logits(4, 3, seed=1).requires_grad_()
    targets, mixed_targets = torch.tensor([0, 1, 2, 0]), torch.tensor([1, 1, 0, 2])
    terms = mixup_cs_kd_loss(logits, partner_logits, targets, mixed_targets, 0.7, temperature=2.0, distill_weight=0.5)
    terms["total"].backward()  # type: ignore[no-untyped-call]
    soft_label = 0.7 * functional.one_hot(targets, 3) + 0.3 * functional.one_hot(mixed_targets, 3)
    probs, softened, teacher = (values.detach().softmax(1) for values in (logits, logits / 2, partner_logits / 2))
    assert partner_logits.grad is None
    assert logits.grad is not None
    assert torch.allclose(logits.grad, (probs - soft_label + 0.5 * 2.0 * (softened - teacher)) / 4, rtol=1e-12)


def test_primaries_and_partners_are_mixed_alike() -> None:
    targets = make_targets(6, 3)
    logits, partner_logits = make_logits(6, 3), make_logits(6, 3, seed=1)
    model, batch = ScriptedModel(logits, partner_logits), make_batch(targets, needs={"partner"}, step=3)
    settings = {"alpha": 1.0, "temperature": 3.0, "distill_weight": 2.0}
    step = make_method("mixup_cs_kd", targets, 3, settings, seed=5).step(model, batch)
    lam, permutation = draw_mix(5, 3, 6, 1.0, torch.device("cpu"))
    assert 0 < lam < 1
    for seen, images in zip(model.seen, (batch.images, batch.partner_images), strict=True):
        assert images is not None
        assert torch.allclose(seen, lam * images + (1 - lam) * images[permutation], atol=1e-6)
    assert model.grad_enabled == [True, False]
    assert step.images_seen == 12
    expected = mixup_cs_kd_loss(logits, partner_logits, targets, targets[permutation], lam, temperature=3.0, distill_weight=2.0)
    assert float(step.terms["total"]) == float(expected["total"])


@pytest.mark.parametrize("alpha", [0.0, 1e-9])  # Beta(a, a) for a near 0: lam is 0 or 1
def test_without_mixing_it_is_cs_kd(alpha: float) -> None:
    targets = make_targets(6, 3)
    logits, partner_logits = make_logits(6, 3), make_logits(6, 3, seed=1)
    batch = make_batch(targets, needs={"partner"})
    step = make_method("mixup_cs_kd", targets, 3, {"alpha": alpha}).step(ScriptedModel(logits, partner_logits), batch)
    lam, permutation = draw_mix(0, 0, 6, alpha, torch.device("cpu"))
    assert lam in (0.0, 1.0)
    expected = cs_kd_loss(logits, partner_logits, targets if lam else targets[permutation], temperature=4.0, distill_weight=1.0)
    assert float(step.terms["total"]) == pytest.approx(float(expected["total"]), rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": -0.1}, r"`0 <= alpha < inf` must hold, but got alpha=-0\.1"),
        ({"alpha": math.nan}, r"alpha=nan"),
        ({"temperature": 0.0}, r"temperature=0\.0"),
        ({"distill_weight": -1.0}, r"distill_weight=-1\.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MixupCSKDConfig(**settings)


@pytest.mark.parametrize(("temperature", "weight"), [(0.0, 1.0), (1.0, -1.0)])
def test_the_loss_refuses_settings_out_of_range(temperature: float, weight: float) -> None:
    logits, targets = make_logits(2, 3), torch.tensor([0, 1])
    with pytest.raises(ConfigError, match="must hold"):
        mixup_cs_kd_loss(logits, logits, targets, targets, 0.5, temperature=temperature, distill_weight=weight)
