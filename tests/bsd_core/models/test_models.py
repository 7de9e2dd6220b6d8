from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from bsd_core.errors import ConfigError
from bsd_core.models import MODELS, build_model, n_parameters
from bsd_core.models.cifar_resnet import BasicBlock, CifarResNet


def cifar_resnet_parameters(blocks: int, width: int, in_channels: int, n_classes: int) -> int:
    """Convolutions without bias, two numbers a channel for each normalisation, a linear layer; shortcuts have none."""
    total = 9 * in_channels * width + 2 * width
    n_in = width
    for stage in range(3):
        n_out = width * 2**stage
        for _ in range(blocks):
            total += 9 * n_in * n_out + 9 * n_out * n_out + 2 * 2 * n_out
            n_in = n_out
    return total + n_in * n_classes + n_classes


@pytest.mark.parametrize(("channels", "size", "n_classes"), [(1, 8, 10), (3, 32, 10), (3, 8, 100), (1, 28, 2)])
@pytest.mark.parametrize("name", MODELS)
def test_a_network_gives_one_logit_a_class(name: str, channels: int, size: int, n_classes: int) -> None:
    model = build_model(name, in_channels=channels, n_classes=n_classes, seed=0).eval()
    with torch.no_grad():
        logits = model(torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (2, n_classes)
    assert bool(torch.isfinite(logits).all())


def test_resnet20_has_the_parameters_of_the_paper() -> None:
    # 0.27 million in He et al., table 6
    assert n_parameters(build_model("resnet20", in_channels=3, n_classes=10)) == cifar_resnet_parameters(3, 16, 3, 10) == 269_722


@pytest.mark.parametrize(("name", "blocks"), [("resnet8", 1), ("resnet20", 3)])
@pytest.mark.parametrize(("width", "channels", "n_classes"), [(None, 1, 10), (4, 3, 7), (1, 1, 2)])
def test_the_width_sets_all_stages(name: str, blocks: int, width: int | None, channels: int, n_classes: int) -> None:
    model = build_model(name, in_channels=channels, n_classes=n_classes, width=width)
    assert n_parameters(model) == cifar_resnet_parameters(blocks, width or 16, channels, n_classes)


def test_resnet18_is_torchvisions_with_a_small_stem() -> None:
    model = build_model("resnet18", in_channels=3, n_classes=10)
    # torchvision's 11,689,512 for 1000 classes, less 990 outputs of 512 + 1 and less a 7x7 stem that becomes 3x3.
    assert n_parameters(model) == 11_689_512 - 990 * 513 - 3 * 64 * (49 - 9)
    assert isinstance(model.conv1, nn.Conv2d)
    assert (model.conv1.kernel_size, model.conv1.stride) == ((3, 3), (1, 1))


def test_resnet18_keeps_the_resolution_of_small_images_in_its_first_stage() -> None:
    model = build_model("resnet18", in_channels=3, n_classes=10).eval()
    sizes: list[torch.Size] = []
    layer = model.layer1
    assert isinstance(layer, nn.Module)
    layer.register_forward_hook(lambda _, __, out: sizes.append(out.shape))
    with torch.no_grad():
        model(torch.zeros(1, 3, 32, 32))
    assert sizes == [torch.Size([1, 64, 32, 32])]


@pytest.mark.parametrize("name", MODELS)
def test_the_seed_alone_decides_the_first_weights(name: str) -> None:
    first, again, other = (build_model(name, in_channels=1, n_classes=3, seed=seed).state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_a_seeded_network_leaves_the_global_random_state_and_an_unseeded_one_uses_it() -> None:
    with torch.random.fork_rng(devices=[]):
        before = torch.get_rng_state()
        build_model("resnet8", in_channels=1, n_classes=3, width=2, seed=1)
        assert torch.equal(torch.get_rng_state(), before)
        build_model("resnet8", in_channels=1, n_classes=3, width=2)
        assert not torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_in_channels_last_order(name: str) -> None:
    convolutions = [m for m in build_model(name, in_channels=3, n_classes=3).modules() if isinstance(m, nn.Conv2d)]
    assert all(module.weight.is_contiguous(memory_format=torch.channels_last) for module in convolutions)


def test_a_shortcut_takes_every_other_pixel_and_adds_channels_of_zero() -> None:
    block = BasicBlock(2, 4, stride=2).eval()
    nn.init.zeros_(block.conv2.weight)  # only the shortcut is left
    x = torch.rand(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    out = block(x)
    assert torch.equal(out[:, :2], x[:, :, ::2, ::2])
    assert not out[:, 2:].any()
    assert out.shape == (1, 4, 2, 2)


def test_logits_are_the_classifier_on_the_features() -> None:
    model = build_model("resnet8", in_channels=3, n_classes=5, width=4, seed=0).eval()
    assert isinstance(model, CifarResNet)
    x = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    features = model.features(x)
    assert features.shape == (3, 16)
    assert torch.equal(model(x), model.classifier(features))


def test_frozen_parameters_do_not_count() -> None:
    model = nn.Linear(3, 2)
    assert n_parameters(model) == 3 * 2 + 2
    model.bias.requires_grad_(False)
    assert n_parameters(model) == 3 * 2


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("resnet9", {}, r"Unknown model 'resnet9'\. Known: resnet18, resnet20, resnet8\. Did you mean 'resnet"),
        ("resnet8", {"in_channels": 2}, r"`in_channels is 1 or 3` must hold, but got in_channels=2"),
        ("resnet8", {"n_classes": 1}, r"`n_classes >= 2` must hold, but got n_classes=1"),
        ("resnet8", {"width": 0}, r"`1 <= width <= 1024` must hold, but got width=0"),
        ("resnet8", {"width": 2000}, r"width=2000"),
        ("resnet18", {"width": 16}, r"width is not set for resnet18 .*choose resnet8 or resnet20.*but got width=16"),
    ],
)
def test_networks_that_cannot_be_built_are_refused(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_model(name, **{"in_channels": 3, "n_classes": 10, **settings})
