from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from bsd_core.errors import ConfigError
from bsd_core.methods.dual_focal import DualFocalConfig, dual_focal_loss, next_below
from bsd_core.methods.focal import focal_loss
from tests._dummies import ScriptedModel, load_golden, make_batch, make_logits, make_method, make_targets


@pytest.mark.parametrize("gamma", [2, 5])
def test_the_loss_equals_the_golden_numbers(gamma: int) -> None:
    golden = load_golden("losses")
    loss = dual_focal_loss(torch.from_numpy(golden["logits"]), torch.from_numpy(golden["labels"]), gamma=gamma)["total"]
    assert float(loss) == pytest.approx(float(golden[f"dualfocal_g{gamma}"]), rel=1e-12)


def test_the_class_below_the_label_equals_the_golden_numbers() -> None:
    golden = load_golden("losses")
    probs = torch.from_numpy(golden["logits"]).softmax(1)
    below = next_below(probs, probs.gather(1, torch.from_numpy(golden["labels"])[:, None]))
    assert below[:, 0].tolist() == pytest.approx(golden["dualfocal_pj"].tolist(), rel=1e-12)


def test_the_class_below_the_label_is_not_the_runner_up_and_never_a_tie() -> None:
    probs = torch.tensor([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [0.2, 0.4, 0.4]])
    label_probs = torch.tensor([[0.3], [0.4], [0.2]])
    assert next_below(probs, label_probs)[:, 0].tolist() == pytest.approx([0.2, 0.2, 0.0])


def test_one_sample_by_hand() -> None:
    loss = dual_focal_loss(torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64).log(), torch.tensor([1]), gamma=2.0)["total"]
    assert float(loss) == pytest.approx(-((1 - 0.3 + 0.2) ** 2) * math.log(0.3))


def test_gamma_zero_equals_cross_entropy() -> None:
    logits, targets = make_logits(8, 5), make_targets(8, 5)
    total = dual_focal_loss(logits, targets, gamma=0.0)["total"]
    assert float(total) == pytest.approx(float(functional.cross_entropy(logits, targets)), rel=1e-14)


def test_a_label_ranked_last_has_the_focal_loss() -> None:
    logits, targets = torch.tensor([[3.0, 1.0, 0.0]], dtype=torch.float64), torch.tensor([2])
    assert float(dual_focal_loss(logits, targets, gamma=3.0)["total"]) == float(focal_loss(logits, targets, gamma=3.0)["total"])


def test_the_gradient_flows_through_the_class_below_the_label_too() -> None:
    logits, targets = make_logits(5, 4).requires_grad_(), make_targets(5, 4)
    assert torch.autograd.gradcheck(lambda z: dual_focal_loss(z, targets, gamma=2.5)["total"], logits)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 5.0])
def test_the_gradient_is_finite_where_a_label_is_certain(gamma: float) -> None:
    logits = torch.tensor([[300.0, 0.0], [20.0, 0.0], [0.0, 300.0]], requires_grad=True)  # float32: p is 1, nearly 1, and 0
    total = dual_focal_loss(logits, torch.tensor([0, 0, 0]), gamma=gamma)["total"]
    (gradient,) = torch.autograd.grad(total, logits)
    assert bool(torch.isfinite(total))
    assert bool(torch.isfinite(gradient).all())


def test_the_method_follows_its_setting() -> None:
    logits, targets = make_logits(6, 4), make_targets(6, 4)
    step = make_method("dual_focal", targets, 4, {"gamma": 1.5}).step(ScriptedModel(logits), make_batch(targets))
    assert float(step.terms["total"]) == float(dual_focal_loss(logits, targets, gamma=1.5)["total"])


@pytest.mark.parametrize("gamma", [-0.1, math.nan, math.inf])
def test_gamma_out_of_range_is_refused(gamma: float) -> None:
    with pytest.raises(ConfigError, match=rf"`0 <= gamma < inf` must hold, but got gamma={gamma}"):
        DualFocalConfig(gamma=gamma)
    if not gamma > 0:
        with pytest.raises(ConfigError, match=r"`gamma >= 0` must hold"):
            dual_focal_loss(make_logits(2, 3), torch.tensor([0, 1]), gamma=gamma)
