"""Compact networks for small images, and torchvision's ResNet-18 with a small-image stem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from bsd_core.errors import require, unknown_name


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters: strided and zero-padded where the shape changes (He et al., option A)."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_out)
        self.stride, self.new_channels = stride, n_out - n_in

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        out = functional.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        if self.stride != 1:
            x = x[:, :, :: self.stride, :: self.stride]
        if self.new_channels:
            x = functional.pad(x, (0, 0, 0, 0, 0, self.new_channels))
        return functional.relu(out + x)


class CifarResNet(nn.Module):
    """The CIFAR family of He et al. (CVPR 2016, section 4.2): 6n+2 layers, three stages of widths w, 2w, 4w.

    resnet20 at width 16 on 10 classes has 269,722 parameters on RGB images.
    """

    def __init__(self, *, blocks: int, width: int, in_channels: int, n_classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, width, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        stages: list[nn.Module] = []
        n_in = width
        for stage in range(3):
            n_out = width * 2**stage
            for block in range(blocks):
                stages.append(BasicBlock(n_in, n_out, 2 if stage > 0 and block == 0 else 1))
                n_in = n_out
        self.stages = nn.Sequential(*stages)
        self.classifier = nn.Linear(n_in, n_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 4 * width) penultimate features."""
        return self.stages(functional.relu(self.norm(self.stem(x)))).mean((2, 3))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K) logits."""
        logits: Tensor = self.classifier(self.features(x))
        return logits


def _cifar_resnet(depth: int) -> Callable[..., nn.Module]:
    def build(*, in_channels: int, n_classes: int, width: int | None) -> nn.Module:
        return CifarResNet(blocks=(depth - 2) // 6, width=width or 16, in_channels=in_channels, n_classes=n_classes)

    return build


def _torchvision_resnet18(*, in_channels: int, n_classes: int, width: int | None) -> nn.Module:
    """torchvision's ResNet-18; the 7x7/2 stem and the pooling become one 3x3 convolution, so that 32x32 keeps its resolution."""
    from torchvision.models import resnet18

    require(width is None, "width is not set for resnet18 (its width is fixed; choose resnet8 or resnet20)", width=width)
    model: nn.Module = resnet18(num_classes=n_classes)
    model.conv1 = stem = nn.Conv2d(in_channels, 64, 3, 1, 1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()
    return model


MODELS: Final[dict[str, Callable[..., nn.Module]]] = {
    "resnet18": _torchvision_resnet18,
    "resnet20": _cifar_resnet(20),
    "resnet8": _cifar_resnet(8),
}


def build_model(name: str, *, in_channels: int, n_classes: int, width: int | None = None, seed: int | None = None) -> nn.Module:
    """A freshly initialised network in channels-last memory order.

    Args:
        name: one of `MODELS`.
        in_channels: 1 or 3.
        n_classes: K >= 2.
        width: channels of the first stage of the CIFAR family (default 16).
        seed: initial weights depend on this alone; the global random state is left as it was. None: use the global state.

    Raises:
        ConfigError: unknown name, impossible size, or a width for a network that has none.
    """
    if name not in MODELS:
        raise unknown_name("model", name, MODELS)
    require(in_channels in (1, 3), "in_channels is 1 or 3", in_channels=in_channels)
    require(n_classes >= 2, "n_classes >= 2", n_classes=n_classes)
    require(width is None or 1 <= width <= 1024, "1 <= width <= 1024", width=width)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        model = MODELS[name](in_channels=in_channels, n_classes=n_classes, width=width)
    return model.to(memory_format=torch.channels_last)


def n_parameters(model: nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
