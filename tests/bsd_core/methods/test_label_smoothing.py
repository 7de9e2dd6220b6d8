from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from bsd_core.errors import ConfigError
from bsd_core.methods.label_smoothing import LabelSmoothingConfig, label_smoothing_loss
from tests._dummies import ScriptedModel, load_golden, make_batch, make_logits, make_method, make_targets


def test_loss_equals_the_golden_number_and_gradient_is_probs_minus_smoothed_label() -> None:
    golden = load_golden("losses")
    logits = torch.from_numpy(golden["logits"]).requires_grad_()
    loss = label_smoothing_loss(logits, torch.from_numpy(golden["labels"]), smoothing=0.1)["total"]
    loss.backward()  # type: ignore[no-untyped-call]
    probs = logits.detach().softmax(1).numpy()
    assert float(loss.detach()) == pytest.approx(float(golden["ls_uniform"]), rel=1e-12)
    assert logits.grad is not None
    assert np.allclose(logits.grad.numpy(), (probs - golden["ls_uniform_target"]) / 8, rtol=1e-10, atol=1e-15)


def test_the_other_convention_is_this_one_with_more_smoothing() -> None:
    golden = load_golden("losses")
    logits, targets = torch.from_numpy(golden["logits"]), torch.from_numpy(golden["labels"])
    # "others" with e = 0.1 over K = 6 classes is "uniform" with e K / (K - 1) = 0.12.
    loss = label_smoothing_loss(logits, targets, smoothing=0.1 * 6 / 5)["total"]
    assert float(loss) == pytest.approx(float(golden["ls_others"]), rel=1e-12)


def test_zero_smoothing_equals_cross_entropy() -> None:
    logits, targets = make_logits(8, 5), make_targets(8, 5)
    smoothed = label_smoothing_loss(logits, targets, smoothing=0.0)["total"]
    assert float(smoothed) == pytest.approx(float(torch.nn.functional.cross_entropy(logits, targets)), rel=1e-14)


def test_one_sample_by_hand() -> None:
    probs = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64)
    loss = label_smoothing_loss(probs.log(), torch.tensor([0]), smoothing=0.3)["total"]
    # target (0.7 + 0.1, 0.1, 0.1)
    assert float(loss) == pytest.approx(-(0.8 * math.log(0.7) + 0.1 * math.log(0.2) + 0.1 * math.log(0.1)))


def test_the_method_smooths_by_its_setting() -> None:
    logits, targets = make_logits(6, 4), make_targets(6, 4)
    step = make_method("label_smoothing", targets, 4, {"smoothing": 0.25}).step(ScriptedModel(logits), make_batch(targets))
    assert float(step.terms["total"]) == float(label_smoothing_loss(logits, targets, smoothing=0.25)["total"])


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, math.nan])
def test_smoothing_outside_zero_to_one_is_refused(smoothing: Any) -> None:
    with pytest.raises(ConfigError, match=rf"`0 <= smoothing < 1` must hold, but got smoothing={smoothing}"):
        LabelSmoothingConfig(smoothing=smoothing)
