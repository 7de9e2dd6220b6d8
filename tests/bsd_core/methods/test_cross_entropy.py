from __future__ import annotations

import numpy as np
import pytest
import torch

from tests._dummies import ScriptedModel, load_golden, make_batch, make_method


def test_loss_and_gradient_equal_the_golden_numbers() -> None:
    golden = load_golden("losses")
    logits = torch.from_numpy(golden["logits"]).requires_grad_()
    targets = torch.from_numpy(golden["labels"])
    method = make_method("cross_entropy", targets, 6)
    step = method.step(ScriptedModel(logits), make_batch(targets))
    step.terms["total"].backward()  # type: ignore[no-untyped-call]
    assert float(step.terms["total"].detach()) == pytest.approx(float(golden["ce"]), rel=1e-12)
    assert logits.grad is not None
    assert np.allclose(logits.grad.numpy(), golden["ce_grad"], rtol=1e-10, atol=1e-15)


def test_the_loss_is_minus_the_mean_log_probability_of_the_label() -> None:
    probs = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]], dtype=torch.float64)
    targets = torch.tensor([0, 1])
    step = make_method("cross_entropy", targets, 3).step(ScriptedModel(probs.log()), make_batch(targets))
    assert float(step.terms["total"]) == pytest.approx(-(np.log(0.5) + np.log(0.1)) / 2)
    assert torch.equal(step.logits, probs.log())
