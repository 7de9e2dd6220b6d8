"""Networks: compact ones for small images, and those of the literature, each with a stem for small images or for 224 px."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import torch
from torch import nn

from bsd_core.errors import require, unknown_name
from bsd_core.models.base import SMALL_IMAGE, Network, Plan, Stem
from bsd_core.models.cifar_resnet import CifarResNet
from bsd_core.models.preact_resnet import PreActResNet18
from bsd_core.models.pretrained import load_pretrained
from bsd_core.models.torchvision_networks import densenet121, resnext101, torchvision_resnet, vit_b_16
from bsd_core.models.wide_resnet import WideResNet
from bsd_core.network_names import WIDTHS, check_width

__all__ = ["MODELS", "STEMS", "Architecture", "Network", "build_model", "check_width", "n_parameters"]

STEMS: Final = ("auto", "small", "published")


@dataclass(frozen=True)
class Architecture:
    """A network by name.

    Attributes:
        build: makes it, with fresh weights from the global random state.
        width: the published width; None where it cannot be changed.
    """

    build: Callable[[Plan], Network]
    width: int | None


_BUILDERS: Final[dict[str, Callable[[Plan], Network]]] = {
    "densenet121": densenet121,
    "preact_resnet18": PreActResNet18,
    "resnet101": torchvision_resnet("resnet101"),
    "resnet18": torchvision_resnet("resnet18"),
    "resnet20": partial(CifarResNet, depth=20),
    "resnet34": torchvision_resnet("resnet34"),
    "resnet50": torchvision_resnet("resnet50"),
    "resnet56": partial(CifarResNet, depth=56),
    "resnet8": partial(CifarResNet, depth=8),
    "resnext101_32x4d": resnext101,
    "vit_b_16": vit_b_16,
    "wide_resnet": WideResNet,
}
MODELS: Final[dict[str, Architecture]] = {name: Architecture(build, WIDTHS[name]) for name, build in _BUILDERS.items()}


def build_model(
    name: str,
    *,
    in_channels: int,
    n_classes: int,
    image_size: tuple[int, int] | None = None,
    width: int | None = None,
    stem: str = "auto",
    pretrained: str | Path | None = None,
    seed: int | None = None,
) -> Network:
    """A network in channels-last memory order, freshly initialised or with weights from a file.

    Args:
        name: one of `MODELS`.
        in_channels: 1 or 3.
        n_classes: K >= 2.
        image_size: (H, W) in pixels, where it is known.
        width: channels of the first stage (resnet8, resnet20, resnet56: 16; preact_resnet18: 64), or the widening factor
            (wide_resnet: 10); None: as published. The other networks have a fixed width.
        stem: `small` keeps the resolution of small images, `published` is the stem for 224 px; `auto` is `small` up to 64 pixels a
            side and where the size is not known.
        pretrained: a local file of weights, see `load_pretrained`.
        seed: initial weights depend on this alone; the global random state is left as it was. None: use the global state.

    Raises:
        ConfigError: unknown name or stem, impossible size, a width for a network that has none, images it cannot take, or weights
            for another stem.
        DataError: `pretrained` is not a file of this network's weights.
    """
    if name not in MODELS:
        raise unknown_name("model", name, MODELS)
    if stem not in STEMS:
        raise unknown_name("stem", stem, STEMS)
    require(in_channels in (1, 3), "in_channels is 1 or 3", in_channels=in_channels)
    require(n_classes >= 2, "n_classes >= 2", n_classes=n_classes)
    require(image_size is None or min(image_size) >= 1, "1 <= height and 1 <= width", image_size=image_size)
    check_width(name, width)
    plan = Plan(
        in_channels=in_channels,
        n_classes=n_classes,
        image_size=image_size,
        width=MODELS[name].width if width is None else width,
        stem=_resolved(stem, image_size),
    )
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.default_generator.manual_seed(seed)  # `torch.manual_seed` would reach for every GPU too
        network = MODELS[name].build(plan)
    if pretrained is not None:
        load_pretrained(network, pretrained)
    return network.to(memory_format=torch.channels_last)


def _resolved(stem: str, image_size: tuple[int, int] | None) -> Stem:
    if stem == "auto":
        return "small" if image_size is None or max(image_size) <= SMALL_IMAGE else "published"
    return "small" if stem == "small" else "published"


def n_parameters(model: nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
