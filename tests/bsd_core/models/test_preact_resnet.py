from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bsd_core.models import build_model
from bsd_core.models.preact_resnet import PreActBlock, PreActResNet18


def make_input(channels: int, side: int = 4) -> Tensor:
    return torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("activated", [True, False])
def test_an_identity_shortcut_starts_after_or_before_the_activation(activated: bool) -> None:
    block = PreActBlock(3, 3, 1, activated_identity=activated).eval()
    nn.init.zeros_(block.conv2.weight)  # only the shortcut is left
    x = make_input(3)
    torch.testing.assert_close(block(x), functional.relu(block.norm1(x)) if activated else x)


def test_a_shortcut_that_changes_the_shape_convolves_the_activated_input() -> None:
    block = PreActBlock(2, 4, 2, activated_identity=False).eval()
    nn.init.zeros_(block.conv2.weight)
    x = make_input(2)
    assert block.shortcut is not None
    expected = functional.conv2d(functional.relu(block.norm1(x)), block.shortcut.weight, stride=2)
    torch.testing.assert_close(block(x), expected)


def test_cs_kds_network_activates_after_the_stem_and_not_before_the_pooling() -> None:
    network = build_model("preact_resnet18", in_channels=3, n_classes=5, width=4, seed=0).eval()
    assert isinstance(network, PreActResNet18)
    x = make_input(3, 32)
    with torch.no_grad():
        out = network.stages(functional.relu(network.norm(network.stem(x))))
        assert out.shape == (2, 32, 4, 4)
        torch.testing.assert_close(network.features(x), functional.avg_pool2d(out, 4).flatten(1))
        assert bool((network.features(x) < 0).any())  # no ReLU came last


def test_every_stage_has_two_blocks_and_doubles_the_width() -> None:
    network = build_model("preact_resnet18", in_channels=3, n_classes=5)
    shapes = [
        (block.conv1.in_channels, block.conv1.out_channels, block.conv1.stride[0])
        for block in network.modules()
        if isinstance(block, PreActBlock)
    ]
    assert shapes == [
        *[(64, 64, 1), (64, 64, 1)],
        *[(64, 128, 2), (128, 128, 1)],
        *[(128, 256, 2), (256, 256, 1)],
        *[(256, 512, 2), (512, 512, 1)],
    ]


def test_the_published_stem_is_imagenets() -> None:
    with torch.device("meta"):
        network = build_model("preact_resnet18", in_channels=3, n_classes=5, image_size=(224, 224))
        assert isinstance(network, PreActResNet18)
        assert network.pool(network.stem(torch.empty(2, 3, 224, 224))).shape == (2, 64, 56, 56)
