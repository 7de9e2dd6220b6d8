from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from bsd_core.errors import ConfigError
from bsd_core.methods.confidence_penalty import ConfidencePenaltyConfig, confidence_penalty_loss
from tests._dummies import ScriptedModel, load_golden, make_batch, make_logits, make_method, make_targets


def test_loss_entropy_and_gradient_equal_the_golden_numbers() -> None:
    golden = load_golden("losses")
    logits = torch.from_numpy(golden["logits"]).requires_grad_()
    terms = confidence_penalty_loss(logits, torch.from_numpy(golden["labels"]), penalty_weight=0.1)
    terms["total"].backward()  # type: ignore[no-untyped-call]
    assert float(terms["total"].detach()) == pytest.approx(float(golden["confpen_beta0.1"]), rel=1e-12)
    assert float(terms["cross_entropy"].detach()) == pytest.approx(float(golden["ce"]), rel=1e-12)
    assert float(terms["entropy"].detach()) == pytest.approx(float(golden["entropy"].mean()), rel=1e-12)
    assert logits.grad is not None
    assert np.allclose(logits.grad.numpy(), golden["confpen_grad"], rtol=1e-10, atol=1e-15)


def test_one_sample_by_hand() -> None:
    probs = torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64)
    terms = confidence_penalty_loss(probs.log(), torch.tensor([1]), penalty_weight=2.0)
    # H = 1.5 bits
    assert float(terms["entropy"]) == pytest.approx(1.5 * math.log(2))
    assert float(terms["total"]) == pytest.approx(2 * math.log(2) - 2 * 1.5 * math.log(2))


def test_zero_weight_equals_cross_entropy() -> None:
    logits, targets = make_logits(8, 5), make_targets(8, 5)
    total = confidence_penalty_loss(logits, targets, penalty_weight=0.0)["total"]
    assert float(total) == float(functional.cross_entropy(logits, targets))


def test_a_uniform_prediction_has_the_greatest_entropy_there_is() -> None:
    terms = confidence_penalty_loss(torch.zeros(2, 7, dtype=torch.float64), torch.tensor([0, 3]), penalty_weight=1.0)
    assert float(terms["entropy"]) == pytest.approx(math.log(7), rel=1e-14)
    assert float(terms["total"]) == pytest.approx(0, abs=1e-14)


def test_the_method_penalises_by_its_setting() -> None:
    logits, targets = make_logits(6, 4), make_targets(6, 4)
    step = make_method("confidence_penalty", targets, 4, {"penalty_weight": 0.7}).step(ScriptedModel(logits), make_batch(targets))
    assert float(step.terms["total"]) == float(confidence_penalty_loss(logits, targets, penalty_weight=0.7)["total"])


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf])
def test_a_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(ConfigError, match=rf"`0 <= penalty_weight < inf` must hold, but got penalty_weight={weight}"):
        ConfidencePenaltyConfig(penalty_weight=weight)


def test_the_loss_refuses_a_negative_weight() -> None:
    with pytest.raises(ConfigError, match=r"`penalty_weight >= 0` must hold"):
        confidence_penalty_loss(make_logits(2, 3), torch.tensor([0, 1]), penalty_weight=-1.0)
