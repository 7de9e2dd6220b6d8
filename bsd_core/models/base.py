"""What every network offers a method: features, a linear classifier on top of them, and logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from torch import Tensor, nn
from torch.nn import functional

Stem = Literal["small", "published"]

SMALL_IMAGE: Final = 64  # pixels; up to this side a network keeps its resolution in the stem, unless told otherwise


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a network is built for.

    Attributes:
        in_channels: C, 1 or 3.
        n_classes: K.
        image_size: (H, W) in pixels; None where it is not known, which only networks with a fixed number of tokens mind.
        width: what `build_model` says of it; None for networks of a fixed width.
        stem: the layers before the first block: `small` keeps the resolution, `published` is ImageNet's.
    """

    in_channels: int
    n_classes: int
    image_size: tuple[int, int] | None
    width: int | None
    stem: Stem

    @property
    def stage_width(self) -> int:
        """`width` of a network that has one."""
        assert self.width is not None
        return self.width


class Network(nn.Module, ABC):
    """A classifier in two parts: `forward(x) = classifier(features(x))`.

    Attributes:
        n_features: D, the length of the penultimate features.
        classifier: linear, D -> K.
        stem_parameters: names of the parameters whose shape depends on the stem and the images; pretrained weights must fit them.
    """

    n_features: int
    classifier: nn.Linear
    stem_parameters: tuple[str, ...] = ("stem.weight",)

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) images -> (N, D) penultimate features."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) images -> (N, K) logits."""
        logits: Tensor = self.classifier(self.features(x))
        return logits

    def own_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A state dict under this network's parameter names; networks that others publish translate the published ones."""
        return dict(state)


def stem_convolution(plan: Plan, n_out: int) -> nn.Conv2d:
    """A residual network's first layer: 3x3 (He et al. 2016, section 4.2) or, as published for 224 px, 7x7 with stride 2."""
    kernel, stride = (3, 1) if plan.stem == "small" else (7, 2)
    return nn.Conv2d(plan.in_channels, n_out, kernel, stride, kernel // 2, bias=False)


def stem_pool(plan: Plan) -> nn.Module:
    """What follows the first layer: nothing, or ImageNet's 3x3 max pooling with stride 2."""
    return nn.Identity() if plan.stem == "small" else nn.MaxPool2d(3, 2, 1)


# Gradients keep the channels-last order of their activations only if every operation between convolutions does: after a strided slice or a
# mean over pixels they come back in the other order, and each ReLU behind them is then ten times slower on a CPU. Pooling keeps the order.


def global_average(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C), the mean over pixels."""
    return functional.avg_pool2d(x, x.shape[-2:]).flatten(1)


def subsample(x: Tensor, stride: int) -> Tensor:
    """(N, C, H, W) -> (N, C, ceil(H / stride), ceil(W / stride)), every `stride`-th pixel."""
    return functional.avg_pool2d(x, 1, stride)


def init_convolutions(network: nn.Module) -> None:
    """He et al.'s normal initialisation (ICCV 2015), fan-out form, for every convolution."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
