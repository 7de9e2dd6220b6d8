from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from bsd_core.errors import ConfigError
from bsd_core.methods.dlb import DLBConfig, LastBatchSelfDistillation, dlb_loss
from tests._dummies import ScriptedModel, load_golden, make_batch, make_logits, make_method, make_recipe, make_targets, make_trainer


def test_the_loss_equals_the_golden_number() -> None:
    golden = load_golden("losses")
    logits = torch.from_numpy(np.concatenate([golden["pair_logits"], golden["logits"]]))  # the previous batch, then the current one
    targets = torch.from_numpy(np.concatenate([golden["dlb_prev_labels"], golden["labels"]]))
    terms = dlb_loss(logits, targets, torch.from_numpy(golden["dlb_prev_stored"]), temperature=3.0, distill_weight=1.0)
    assert float(terms["total"]) == pytest.approx(float(golden["dlb_a1_T3"]), rel=1e-12)


def test_the_gradient_by_hand() -> None:
    logits, stored = make_logits(5, 3).requires_grad_(), make_logits(2, 3, seed=1).requires_grad_()
    targets = torch.tensor([0, 2, 1, 1, 0])
    dlb_loss(logits, targets, stored, temperature=2.0, distill_weight=0.5)["total"].backward()  # type: ignore[no-untyped-call]
    expected = (logits.detach().softmax(1) - torch.nn.functional.one_hot(targets, 3)) / 5
    expected[:2] += 0.5 * 2.0 * ((logits.detach()[:2] / 2).softmax(1) - (stored.detach() / 2).softmax(1)) / 2
    assert logits.grad is not None
    assert torch.allclose(logits.grad, expected, rtol=1e-12)
    assert stored.grad is None


def test_zero_weight_and_the_first_step_are_cross_entropy() -> None:
    logits, targets = make_logits(6, 3), make_targets(6, 3)
    cross_entropy = float(torch.nn.functional.cross_entropy(logits, targets))
    zero = dlb_loss(logits, targets, make_logits(3, 3, seed=1), temperature=3.0, distill_weight=0.0)
    first = dlb_loss(logits, targets, temperature=3.0, distill_weight=1.0)
    assert float(zero["total"]) == float(first["total"]) == cross_entropy
    assert float(first["distillation"]) == 0


def test_steps_distil_from_the_logits_of_the_step_before_whatever_the_batch_size() -> None:
    method = make_method("dlb", make_targets(6, 3), 3, {"temperature": 2.0, "distill_weight": 0.5})
    current, previous = torch.tensor([0, 1, 2, 0]), torch.tensor([2, 1, 0])
    first = make_batch(previous)
    answers = [make_logits(n, 3, seed=n).requires_grad_() for n in (3, 4, 3, 2, 4)]  # each step: the current batch, then the previous
    model = ScriptedModel(*answers)

    step = method.step(model, first)
    assert model.seen[0] is first.images
    assert step.logits.tolist() == answers[0].tolist()
    assert step.images_seen == 3
    assert float(step.terms["total"].detach()) == float(torch.nn.functional.cross_entropy(answers[0], previous).detach())

    again = make_batch(previous, seed=1).images
    second = dataclasses.replace(make_batch(current), previous_images=again, previous_targets=previous)
    step = method.step(model, second)
    assert model.seen[1] is second.images
    assert model.seen[2] is again
    assert step.logits.tolist() == answers[1].tolist()
    assert step.images_seen == 7
    both, logits = torch.cat([previous, current]), torch.cat([answers[2], answers[1]])
    expected = dlb_loss(logits, both, answers[0], temperature=2.0, distill_weight=0.5)
    assert float(step.terms["total"].detach()) == float(expected["total"].detach())

    third = dataclasses.replace(make_batch(torch.tensor([1, 1])), previous_images=second.images, previous_targets=current)
    step = method.step(model, third)
    both = torch.cat([current, third.targets])
    expected = dlb_loss(torch.cat([answers[4], answers[3]]), both, answers[1], temperature=2.0, distill_weight=0.5)
    assert model.grad_enabled == [True] * 5
    assert float(step.terms["total"].detach()) == float(expected["total"].detach())


def test_what_is_stored_is_detached_and_of_the_latest_batch_alone() -> None:
    method = make_method("dlb", make_targets(6, 3), 3)
    assert isinstance(method, LastBatchSelfDistillation)
    assert method.get_extra_state() == {"stored": None}
    targets = torch.tensor([0, 1])
    logits = make_logits(2, 3).requires_grad_()
    method.step(ScriptedModel(logits), make_batch(targets))
    stored = method.get_extra_state()["stored"]
    assert torch.equal(stored, logits)
    assert not stored.requires_grad
    assert stored.untyped_storage().nbytes() == 2 * 3 * 8


def test_an_epoch_begins_with_the_last_batch_of_the_one_before() -> None:
    trainer = make_trainer(make_recipe("dlb"), n=50)
    # Steps of 16, 16, 16 and 2 images: each shows its batch and the one before, of which the very first step has none.
    assert [trainer.run_epoch().images_seen for _ in range(2)] == [50 + 48, 50 + 50]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, r"`0 < temperature < inf` must hold, but got temperature=0\.0"),
        ({"temperature": math.inf}, r"temperature=inf"),
        ({"distill_weight": -1.0}, r"`0 <= distill_weight < inf` must hold, but got distill_weight=-1\.0"),
        ({"distill_weight": math.nan}, r"distill_weight=nan"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DLBConfig(**settings)


@pytest.mark.parametrize(("temperature", "weight"), [(0.0, 1.0), (1.0, -1.0)])
def test_the_loss_refuses_settings_out_of_range(temperature: float, weight: float) -> None:
    with pytest.raises(ConfigError, match="must hold"):
        dlb_loss(make_logits(2, 3), torch.tensor([0, 1]), temperature=temperature, distill_weight=weight)


def test_the_defaults_are_the_published_ones() -> None:
    assert DLBConfig() == DLBConfig(temperature=3.0, distill_weight=1.0)
