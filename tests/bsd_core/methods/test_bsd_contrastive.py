from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.errors import ConfigError
from bsd_core.methods.bsd_contrastive import BSDContrastiveConfig, ContrastiveBayesianSelfDistillation
from bsd_core.methods.contrastive import contrastive_loss
from bsd_core.models import Network
from tests._dummies import make_batch, make_method, make_network, make_recipe, make_targets, make_trainer


def make_contrastive(targets: Tensor, settings: dict[str, Any] | None = None, **training: Any) -> ContrastiveBayesianSelfDistillation:
    method = make_method("bsd_contrastive", targets, 3, settings, **training)
    assert isinstance(method, ContrastiveBayesianSelfDistillation)
    return method


class Recorder:
    """A network as methods call it, which notes what it is shown."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.seen: list[tuple[str, Tensor, bool]] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.seen.append(("logits", images, torch.is_grad_enabled()))
        return self.network(images)  # type: ignore[no-any-return]

    def features(self, images: Tensor) -> Tensor:
        self.seen.append(("features", images, torch.is_grad_enabled()))
        return self.network.features(images)

    def classifier(self, features: Tensor) -> Tensor:
        return self.network.classifier(features)  # type: ignore[no-any-return]


def test_without_weight_on_the_contrast_it_is_bsd() -> None:
    targets = make_targets(6, 3)
    batch = make_batch(targets, needs={"strong_views"})
    settings = {"prior_strength": 3.0, "discount": 0.8, "temperature": 0.5}
    step = make_contrastive(targets, {"contrastive_weight": 0.0, **settings}).step(make_network(), batch)
    bsd = make_method("bsd", targets, 3, settings).step(make_network(), batch)
    assert float(step.terms["total"].detach()) == float(bsd.terms["total"].detach())
    assert torch.equal(step.logits, bsd.logits)


def test_a_step_trains_weak_and_first_strong_view_and_takes_keys_from_the_second() -> None:
    targets = make_targets(6, 3)
    network = make_network()
    method, model = make_contrastive(targets, {"contrastive_weight": 7.0, "threshold": 0.2}, network=network), Recorder(network)
    batch = make_batch(targets, needs={"strong_views"})
    assert batch.strong_images is not None
    for_queries, for_keys = batch.strong_images
    step = method.step(model, batch)
    assert [(kind, grad) for kind, _, grad in model.seen] == [("logits", True), ("features", True)]
    assert model.seen[0][1] is batch.images
    assert model.seen[1][1] is for_queries
    assert step.images_seen == 18

    twin = make_network()  # the same weights; in training mode every pass is normalised by its own batch
    queries = method.predictor(method.projector(twin.features(for_queries)))
    keys = method.projector(twin.features(for_keys))
    contrastive = contrastive_loss(queries, keys, functional.softmax(step.logits, dim=1), threshold=0.2)
    assert float(step.terms["contrastive"].detach()) == pytest.approx(float(contrastive.detach()), rel=1e-5)
    total = step.terms["posterior"] + 7.0 * step.terms["contrastive"]
    assert float(step.terms["total"].detach()) == pytest.approx(float(total.detach()))


def test_the_contrast_trains_features_and_heads_but_neither_keys_nor_classifier() -> None:
    targets = make_targets(6, 3)
    network = make_network()
    method = make_contrastive(targets, network=network)
    step = method.step(network, make_batch(targets, needs={"strong_views"}))
    step.terms["contrastive"].backward()  # type: ignore[no-untyped-call]
    assert network.classifier.weight.grad is None
    assert all(parameter.grad is not None for name, parameter in network.named_parameters() if not name.startswith("classifier"))
    for head in (method.projector, method.predictor):
        assert all(parameter.grad is not None for parameter in head.parameters())
    for copied in (method.key_network, method.key_projector):
        assert not any(parameter.requires_grad for parameter in copied.parameters())


def test_the_keys_weights_follow_as_a_moving_average_of_those_the_last_step_left() -> None:
    targets = make_targets(6, 3)
    network = make_network()
    method = make_contrastive(targets, {"momentum": 0.75}, network=network)
    batch = make_batch(targets, needs={"strong_views"})
    old = network.classifier.weight.detach().clone()
    method.step(network, batch)
    assert torch.equal(method.key_network.classifier.weight, old)  # nothing has changed yet
    with torch.no_grad():
        for parameter in [*network.parameters(), *method.projector.parameters()]:
            parameter.add_(1.0)
    method.step(network, batch)
    assert torch.allclose(method.key_network.classifier.weight, old + 0.25, atol=1e-6)
    for online, average in zip(method.projector.parameters(), method.key_projector.parameters(), strict=True):
        assert torch.allclose(average, online - 0.75, atol=1e-6)


def test_the_keys_statistics_are_their_own_and_saved() -> None:
    targets = make_targets(6, 3)
    network = make_network()
    method = make_contrastive(targets, network=network)
    method.step(network, make_batch(targets, needs={"strong_views"}))
    assert int(network.get_buffer("norm.num_batches_tracked")) == 2  # weak and first strong view
    assert int(method.key_network.get_buffer("norm.num_batches_tracked")) == 1
    assert "key_network.norm.running_mean" in method.state_dict()
    assert "key_projector.1.running_mean" in method.state_dict()


def test_the_network_in_training_is_no_part_of_the_method() -> None:
    network = make_network()
    method = make_contrastive(make_targets(6, 3), network=network)
    own = {id(parameter) for parameter in method.parameters()}
    assert not own & {id(parameter) for parameter in network.parameters()}
    assert len(method.state_dict()) == len({id(tensor) for tensor in method.state_dict().values()})
    assert {name.split(".")[0] for name in method.state_dict()} == {
        "posterior",
        "projector",
        "predictor",
        "key_network",
        "key_projector",
    }


def test_a_training_moves_heads_and_keys_and_keeps_estimating_labels() -> None:
    trainer = make_trainer(make_recipe("bsd_contrastive", learning_rate=0.02), n=50)
    method = trainer.method
    assert isinstance(method, ContrastiveBayesianSelfDistillation)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    trainer.run_epoch()
    after = method.state_dict()
    changed = ["projector.0.weight", "predictor.0.weight", "key_network.classifier.weight", "key_projector.0.weight"]
    assert all(not torch.equal(before[name], after[name]) for name in changed)
    assert method.label_estimates().shape == (50,)


def test_evidence_from_a_clean_pass_comes_on_top() -> None:
    config = BSDContrastiveConfig(evidence="clean")
    assert config.needs == {"clean_pass", "strong_views"}
    assert (config.images_per_sample, config.images_per_epoch) == (3.0, 4.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"contrastive_weight": -1.0}, r"`0 <= contrastive_weight < inf` must hold"),
        ({"threshold": 1.5}, r"`0 <= threshold <= 1` must hold, but got threshold=1\.5"),
        ({"momentum": -0.1}, r"`0 <= momentum <= 1` must hold"),
        ({"momentum": math.nan}, r"momentum=nan"),
        ({"embedding_size": 0}, r"`embedding_size >= 1` must hold"),
        ({"discount": 0.0}, r"`0 < discount <= 1` must hold"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BSDContrastiveConfig(**settings)
