from __future__ import annotations

import pytest
import torch

from bsd_core.models import build_model, n_parameters
from bsd_core.models.preact_resnet import PreActBlock


def wide_resnet_parameters(k: int, in_channels: int, n_classes: int) -> int:
    """WRN-28-k: four blocks in each of three stages, one 1x1 convolution a stage, two numbers a channel for each normalisation."""
    total, n_in = 9 * in_channels * 16, 16
    for n_out in (16 * k, 32 * k, 64 * k):
        for _ in range(4):
            total += 2 * n_in + 9 * n_in * n_out + 2 * n_out + 9 * n_out * n_out
            total += n_in * n_out if n_in != n_out else 0
            n_in = n_out
        # the first block of stages two and three also changes the resolution, with the same 1x1 convolution
    return total + 2 * n_in + n_in * n_classes + n_classes


@pytest.mark.parametrize(("k", "in_channels", "n_classes"), [(10, 3, 10), (10, 3, 100), (2, 3, 10), (4, 1, 10)])
def test_the_width_is_the_widening_factor(k: int, in_channels: int, n_classes: int) -> None:
    with torch.device("meta"):
        network = build_model("wide_resnet", in_channels=in_channels, n_classes=n_classes, width=k)
    assert n_parameters(network) == wide_resnet_parameters(k, in_channels, n_classes)
    assert network.n_features == 64 * k


def test_a_wide_resnet_has_28_layers_and_identities_before_the_activation() -> None:
    with torch.device("meta"):
        network = build_model("wide_resnet", in_channels=3, n_classes=10)
    blocks = [module for module in network.modules() if isinstance(module, PreActBlock)]
    # 25 convolutions of 3x3 with the stem, three 1x1 convolutions in shortcuts
    assert 1 + 2 * len(blocks) + sum(block.shortcut is not None for block in blocks) == 28
    assert not any(block.activated_identity for block in blocks)


def test_features_are_activated() -> None:
    network = build_model("wide_resnet", in_channels=3, n_classes=10, width=1, seed=0).eval()
    with torch.no_grad():
        features = network.features(torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    assert float(features.min()) >= 0
    assert bool(features.any())
