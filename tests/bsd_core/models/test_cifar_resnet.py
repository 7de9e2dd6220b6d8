from __future__ import annotations

import pytest
import torch
from torch import nn

from bsd_core.models import build_model, n_parameters
from bsd_core.models.cifar_resnet import BasicBlock


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


@pytest.mark.parametrize(("name", "blocks"), [("resnet8", 1), ("resnet20", 3), ("resnet56", 9)])
@pytest.mark.parametrize(("width", "channels", "n_classes"), [(None, 1, 10), (4, 3, 7), (1, 1, 2)])
def test_the_width_sets_all_stages(name: str, blocks: int, width: int | None, channels: int, n_classes: int) -> None:
    network = build_model(name, in_channels=channels, n_classes=n_classes, width=width)
    assert n_parameters(network) == cifar_resnet_parameters(blocks, width or 16, channels, n_classes)
    assert network.n_features == 4 * (width or 16)


def test_a_shortcut_takes_every_other_pixel_and_adds_channels_of_zero() -> None:
    block = BasicBlock(2, 4, stride=2).eval()
    nn.init.zeros_(block.conv2.weight)  # only the shortcut is left
    x = torch.rand(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    out = block(x)
    assert torch.equal(out[:, :2], x[:, :, ::2, ::2])
    assert not out[:, 2:].any()
    assert out.shape == (1, 4, 2, 2)
