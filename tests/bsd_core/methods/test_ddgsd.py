from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from bsd_core.errors import ConfigError
from bsd_core.methods.ddgsd import DDGSDConfig, ddgsd_loss, mean_discrepancy, symmetric_divergence
from tests._dummies import ScriptedModel, load_golden, make_batch, make_logits, make_method, make_network, make_targets


def test_cross_entropies_and_divergences_equal_the_golden_numbers() -> None:
    golden = load_golden("losses")
    logits, second_logits = torch.from_numpy(golden["logits"]), torch.from_numpy(golden["pair_logits"])
    features = make_logits(8, 4)
    terms = ddgsd_loss(logits, second_logits, features, features, torch.from_numpy(golden["labels"]), distill_weight=2.0, mmd_weight=1.0)
    assert float(terms["cross_entropy"]) == pytest.approx(float(golden["ddgsd_ce"]), rel=1e-12)
    assert float(terms["distillation"]) == pytest.approx(float(golden["ddgsd_kl_sum"]), rel=1e-12)
    assert float(terms["discrepancy"]) == 0
    assert float(terms["total"]) == pytest.approx(float(golden["ddgsd_ce"] + 2 * golden["ddgsd_kl_sum"]), rel=1e-12)


def test_the_divergence_is_both_directions_by_hand() -> None:
    p, q = [0.5, 0.5], [0.9, 0.1]
    value = symmetric_divergence(torch.tensor([p], dtype=torch.float64).log(), torch.tensor([q], dtype=torch.float64).log())
    forward, backward = (sum(a * math.log(a / b) for a, b in zip(*pair, strict=True)) for pair in ((p, q), (q, p)))
    assert float(value) == pytest.approx(forward + backward, rel=1e-12)


def test_gradients_flow_through_both_views() -> None:
    logits, second_logits = make_logits(4, 3).requires_grad_(), make_logits(4, 3, seed=1).requires_grad_()
    symmetric_divergence(logits, second_logits).backward()  # type: ignore[no-untyped-call]
    p, q = logits.detach().softmax(1), second_logits.detach().softmax(1)

    def half(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        # d KL(q || p) / dz = p - q, and d KL(p || q) / dz_k = p_k (log p_k / q_k - KL(p || q)); mean over 4
        ratio = (p / q).log()
        return (p - q + p * (ratio - (p * ratio).sum(1, keepdim=True))) / 4

    assert logits.grad is not None
    assert second_logits.grad is not None
    assert torch.allclose(logits.grad, half(p, q), rtol=1e-9)
    assert torch.allclose(second_logits.grad, half(q, p), rtol=1e-9)


def test_the_discrepancy_by_hand() -> None:
    features = torch.tensor([[1.0, 0.0], [3.0, 2.0]])  # mean (2, 1)
    others = torch.tensor([[0.0, 5.0], [0.0, 5.0]])  # mean (0, 5)
    assert float(mean_discrepancy(features, others)) == 2.0**2 + 4.0**2


def test_the_views_may_change_places() -> None:
    logits, second_logits, features, second_features = (make_logits(6, 4, seed=seed) for seed in range(4))
    targets, weights = make_targets(6, 4), {"distill_weight": 1.5, "mmd_weight": 0.1}
    one = ddgsd_loss(logits, second_logits, features, second_features, targets, **weights)
    other = ddgsd_loss(second_logits, logits, second_features, features, targets, **weights)
    assert float(one["total"]) == pytest.approx(float(other["total"]), rel=1e-14)


def test_zero_weights_are_cross_entropy_over_both_views() -> None:
    logits, second_logits, features, second_features = (make_logits(6, 4, seed=seed) for seed in range(4))
    targets = make_targets(6, 4)
    terms = ddgsd_loss(logits, second_logits, features, second_features, targets, distill_weight=0.0, mmd_weight=0.0)
    expected = torch.nn.functional.cross_entropy(torch.cat([logits, second_logits]), torch.cat([targets, targets]))
    assert float(terms["total"]) == pytest.approx(float(expected), rel=1e-14)


def test_a_step_passes_both_views_at_once_with_gradient() -> None:
    targets = make_targets(6, 3)
    answer = make_logits(12, 3).requires_grad_()  # features and logits
    model, batch = ScriptedModel(answer), make_batch(targets, needs={"second_view"})
    assert batch.second_images is not None
    step = make_method("ddgsd", targets, 3, {"distill_weight": 2.0, "mmd_weight": 0.1}).step(model, batch)
    assert torch.equal(model.seen[0], torch.cat([batch.images, batch.second_images]))
    assert model.grad_enabled == [True]
    assert step.logits.tolist() == answer[:6].tolist()
    assert step.images_seen == 12
    expected = ddgsd_loss(answer[:6], answer[6:], answer[:6], answer[6:], targets, distill_weight=2.0, mmd_weight=0.1)
    assert float(step.terms["total"].detach()) == pytest.approx(float(expected["total"].detach()), rel=1e-12)


def test_the_discrepancy_is_that_of_the_features_before_the_classifier() -> None:
    targets = make_targets(6, 3)
    model, batch = make_network().eval(), make_batch(targets, needs={"second_view"})
    assert batch.second_images is not None
    terms = make_method("ddgsd", targets, 3).step(model, batch).terms
    expected = mean_discrepancy(model.features(batch.images), model.features(batch.second_images))
    assert float(terms["discrepancy"].detach()) == pytest.approx(float(expected.detach()), rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distill_weight": -1.0}, r"`0 <= distill_weight < inf` must hold, but got distill_weight=-1\.0"),
        ({"mmd_weight": -1.0}, r"`0 <= mmd_weight < inf` must hold, but got mmd_weight=-1\.0"),
        ({"mmd_weight": math.nan}, r"mmd_weight=nan"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DDGSDConfig(**settings)


@pytest.mark.parametrize(("distill_weight", "mmd_weight"), [(-1.0, 1.0), (1.0, -1.0)])
def test_the_loss_refuses_settings_out_of_range(distill_weight: float, mmd_weight: float) -> None:
    logits = make_logits(2, 3)
    with pytest.raises(ConfigError, match="must hold"):
        ddgsd_loss(logits, logits, logits, logits, torch.tensor([0, 1]), distill_weight=distill_weight, mmd_weight=mmd_weight)


def test_the_defaults_are_the_published_ones() -> None:
    assert DDGSDConfig() == DDGSDConfig(distill_weight=1.0, mmd_weight=5e-4)
