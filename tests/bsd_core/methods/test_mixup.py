from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from bsd_core.errors import ConfigError
from bsd_core.methods.mixing import draw_mix, mix, mixup_loss
from bsd_core.methods.mixup import MixupConfig
from tests._dummies import ScriptedModel, make_batch, make_logits, make_method, make_targets


def test_a_step_shows_mixed_images_once_and_weighs_both_labels() -> None:
    targets = make_targets(6, 3)
    logits = make_logits(6, 3)
    model, batch = ScriptedModel(logits), make_batch(targets, step=5)
    step = make_method("mixup", targets, 3, {"alpha": 0.8}, seed=3).step(model, batch)
    lam, permutation = draw_mix(3, 5, 6, 0.8, targets.device)
    assert len(model.seen) == 1
    assert torch.equal(model.seen[0], mix(batch.images, permutation, lam))
    assert not torch.equal(model.seen[0], batch.images)
    assert float(step.terms["total"]) == float(mixup_loss(logits, targets, targets[permutation], lam))
    assert step.logits is logits
    assert step.images_seen == 6


def test_steps_are_mixed_anew_and_the_same_step_alike() -> None:
    targets = make_targets(6, 3)
    method = make_method("mixup", targets, 3)
    model = ScriptedModel(*(make_logits(6, 3) for _ in range(3)))
    for step in (0, 1, 0):
        method.step(model, make_batch(targets, step=step))
    assert torch.equal(model.seen[0], model.seen[2])
    assert not torch.equal(model.seen[0], model.seen[1])


def test_alpha_zero_equals_cross_entropy_on_the_images_as_they_are() -> None:
    targets, logits = make_targets(6, 3), make_logits(6, 3)
    model, batch = ScriptedModel(logits), make_batch(targets)
    total = make_method("mixup", targets, 3, {"alpha": 0.0}).step(model, batch).terms["total"]
    assert torch.equal(model.seen[0], batch.images)
    assert float(total) == float(functional.cross_entropy(logits, targets))


def test_a_batch_of_one_meets_itself() -> None:
    targets, logits = torch.tensor([1]), make_logits(1, 3)
    model, batch = ScriptedModel(logits), make_batch(targets)
    total = make_method("mixup", targets, 3).step(model, batch).terms["total"]
    assert torch.equal(model.seen[0], batch.images)
    assert float(total) == pytest.approx(float(functional.cross_entropy(logits, targets)), rel=1e-14)


@pytest.mark.parametrize("alpha", [-0.1, math.nan, math.inf])
def test_alpha_out_of_range_is_refused(alpha: float) -> None:
    with pytest.raises(ConfigError, match=rf"`0 <= alpha < inf` must hold, but got alpha={alpha}"):
        MixupConfig(alpha=alpha)


def test_the_default_is_the_reference_setting() -> None:
    assert MixupConfig() == MixupConfig(alpha=1.0)
