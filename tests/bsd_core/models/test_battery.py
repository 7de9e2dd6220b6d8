"""What holds for every network: shapes, gradients, seeds, memory order, and the two parts of its contract."""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from bsd_core.models import MODELS, Network, build_model

EVERY_NETWORK = pytest.mark.parametrize("name", MODELS)


def make_network(name: str, *, in_channels: int = 3, n_classes: int = 3, seed: int = 0) -> Network:
    """A network for 8x8 images, narrow where it can be."""
    width = None if MODELS[name].width is None else 2
    return build_model(name, in_channels=in_channels, n_classes=n_classes, image_size=(8, 8), width=width, seed=seed)


def make_batch(n: int, channels: int = 3, side: int = 8) -> Tensor:
    return torch.randn(n, channels, side, side, generator=torch.Generator().manual_seed(0))


@cache
def shared_network(name: str) -> Network:
    """One copy for the tests that leave it as it is."""
    return make_network(name)


@EVERY_NETWORK
@pytest.mark.parametrize(("side", "channels", "n_classes"), [(32, 1, 10), (64, 3, 200), (224, 3, 1000)])
def test_a_network_gives_one_logit_a_class(name: str, side: int, channels: int, n_classes: int) -> None:
    with torch.device("meta"):  # shapes alone: nothing is computed
        network = build_model(name, in_channels=channels, n_classes=n_classes, image_size=(side, side))
        images = torch.empty(2, channels, side, side)
        assert network.features(images).shape == (2, network.n_features)
        assert network(images).shape == (2, n_classes)


@EVERY_NETWORK
@pytest.mark.parametrize("channels", [1, 3])
def test_small_images_of_a_study_give_finite_logits(name: str, channels: int) -> None:
    network = make_network(name, in_channels=channels).eval()
    with torch.no_grad():
        logits = network(make_batch(2, channels))
    assert logits.shape == (2, 3)
    assert bool(torch.isfinite(logits).all())


@EVERY_NETWORK
def test_logits_are_the_classifier_on_the_features(name: str) -> None:
    network = shared_network(name).eval()
    images = make_batch(3)
    with torch.no_grad():
        features = network.features(images)
        assert features.shape == (3, network.n_features)
        assert torch.equal(network(images), network.classifier(features))
    assert (network.classifier.in_features, network.classifier.out_features) == (network.n_features, 3)


@EVERY_NETWORK
def test_two_images_train_every_parameter(name: str) -> None:
    network = make_network(name).train()
    nn.init.normal_(network.classifier.weight)  # ViT's starts at zero, which would hide the rest from the gradient
    logits = network(make_batch(2))
    nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()  # type: ignore[no-untyped-call]
    gradients = {key: parameter.grad for key, parameter in network.named_parameters()}
    assert [key for key, gradient in gradients.items() if gradient is None or not bool(torch.isfinite(gradient).all())] == []
    for key in (*network.stem_parameters, "classifier.weight"):
        gradient = gradients[key]
        assert gradient is not None
        assert bool(gradient.any()), key


@pytest.mark.parametrize("name", ["resnet8", "preact_resnet18", "resnet18", "resnet50", "densenet121"])  # one of each kind of block
def test_the_memory_order_does_not_change_numbers(name: str) -> None:
    """In-place activations on channels-last maps give the logits and gradients of the plain order."""
    last = make_network(name).double().train()
    plain = copy.deepcopy(last).to(memory_format=torch.contiguous_format)
    images = make_batch(4).double()
    results = []
    for network, batch in ((last, images.to(memory_format=torch.channels_last)), (plain, images)):
        nn.init.constant_(network.classifier.weight[0], 0.1)
        logits = network(batch)
        logits.square().sum().backward()
        stem = network.get_parameter(network.stem_parameters[0]).grad
        assert stem is not None
        results.append((logits.detach(), stem))
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-9)


@EVERY_NETWORK
def test_the_seed_alone_decides_the_first_weights(name: str) -> None:
    first, again, other = shared_network(name).state_dict(), make_network(name).state_dict(), make_network(name, seed=1).state_dict()
    learned = [key for key in first if "running" not in key and "num_batches" not in key]
    assert all(torch.equal(first[key], again[key]) for key in learned)
    assert any(not torch.equal(first[key], other[key]) for key in learned)


@EVERY_NETWORK
def test_weights_are_in_channels_last_order(name: str) -> None:
    convolutions = [module for module in shared_network(name).modules() if isinstance(module, nn.Conv2d)]
    assert convolutions
    assert all(module.weight.is_contiguous(memory_format=torch.channels_last) for module in convolutions)


@EVERY_NETWORK
def test_the_small_stem_keeps_the_resolution_and_the_published_one_does_not(name: str) -> None:
    """The first layer of ViT cuts patches of 4 or 16 pixels; that of the others has stride 1 or 2."""

    def stride(stem: str) -> int:
        with torch.device("meta"):
            network = build_model(name, in_channels=3, n_classes=3, image_size=(64, 64), stem=stem)
        layer = network.get_submodule(network.stem_parameters[0].removesuffix(".weight"))
        assert isinstance(layer, nn.Conv2d)
        return layer.stride[0]

    assert (stride("small"), stride("published")) == ((4, 16) if name == "vit_b_16" else (1, 2))
