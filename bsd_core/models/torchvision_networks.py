"""torchvision's networks, without its weights: the stem as published for 224 px, or one that keeps the resolution of small images."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import Tensor, nn

from bsd_core.errors import ConfigError
from bsd_core.models.base import Network, Plan, init_convolutions, stem_convolution, stem_pool

VIT_PATCH: Final = {"small": 4, "published": 16}  # pixels a side
VIT_DEFAULT_SIDE: Final = 224  # of the published network, where the image size is not known
DENSENET_MIN_SIDE: Final = {"small": 8, "published": 29}  # three transitions halve the map that the stem leaves


class TorchvisionNetwork(Network):
    """A torchvision network in two parts: `backbone`, whose head is taken out, and that head as `classifier`.

    Args:
        backbone: torchvision's module.
        head: the name of its last linear layer.
        stem: names, inside the backbone, of the parameters whose shape depends on the stem and the images.
    """

    def __init__(self, backbone: nn.Module, *, head: str, stem: tuple[str, ...]) -> None:
        super().__init__()
        classifier = backbone.get_submodule(head)
        assert isinstance(classifier, nn.Linear)
        backbone.set_submodule(head, nn.Identity())
        self.backbone = backbone
        self.classifier = classifier
        self.n_features = classifier.in_features
        self.stem_parameters = tuple(f"backbone.{name}" for name in stem)
        self._head = head

    def features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, D), what torchvision's network gives its last layer."""
        features: Tensor = self.backbone(x)
        return features

    def own_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """torchvision's names become ours; a state dict that has ours already stays as it is."""
        if any(name.startswith("backbone.") for name in state):
            return dict(state)
        head = f"{self._head}."
        return {
            f"classifier.{name.removeprefix(head)}" if name.startswith(head) else f"backbone.{_current_name(name)}": values
            for name, values in state.items()
        }


def _current_name(name: str) -> str:
    """The file of DenseNet weights that torchvision publishes says `norm.1`, where its network has said `norm1` since 2018."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name)


def resnet(plan: Plan, *, build: Callable[..., Any]) -> TorchvisionNetwork:
    """A ResNet or ResNeXt; the small stem is a 3x3 convolution with stride 1 in place of the 7x7 one and of the pooling."""
    backbone = build(num_classes=plan.n_classes)
    if _needs_own_stem(plan):
        backbone.conv1 = stem_convolution(plan, 64)
        init_convolutions(backbone.conv1)
    backbone.maxpool = stem_pool(plan)
    return TorchvisionNetwork(backbone, head="fc", stem=("conv1.weight",))


def resnext101_32x4d(**options: Any) -> Any:
    """ResNeXt-101 of Xie et al. (CVPR 2017), 32 groups of width 4: torchvision has its parts, but not this size by name."""
    from torchvision.models.resnet import Bottleneck, ResNet

    return ResNet(Bottleneck, [3, 4, 23, 3], groups=32, width_per_group=4, **options)


def torchvision_resnet(name: str) -> Callable[[Plan], Network]:
    """The builder of one of torchvision's ResNets by name."""

    def build(plan: Plan) -> Network:
        from torchvision import models

        return resnet(plan, build=getattr(models, name))

    return build


def resnext101(plan: Plan) -> Network:
    """ResNeXt-101 32x4d."""
    return resnet(plan, build=resnext101_32x4d)


def densenet121(plan: Plan) -> Network:
    """DenseNet-121 (Huang et al., CVPR 2017); the small stem is a 3x3 convolution with stride 1, without pooling."""
    from torchvision.models import densenet121 as build

    least = DENSENET_MIN_SIDE[plan.stem]
    if plan.image_size is not None and min(plan.image_size) < least:
        raise ConfigError(
            f"densenet121 with the {plan.stem} stem takes images of at least {least}x{least} pixels, but got {_size(plan.image_size)}."
        )
    backbone = build(num_classes=plan.n_classes)
    if _needs_own_stem(plan):
        backbone.features.conv0 = stem_convolution(plan, 64)
        nn.init.kaiming_normal_(backbone.features.conv0.weight)  # as torchvision does: fan-in here
    backbone.features.pool0 = stem_pool(plan)
    return TorchvisionNetwork(backbone, head="classifier", stem=("features.conv0.weight",))


def vit_b_16(plan: Plan) -> Network:
    """ViT-B (Dosovitskiy et al., ICLR 2021): patches of 16x16 pixels as published, or of 4x4 with the small stem."""
    from torchvision.models import VisionTransformer

    patch = VIT_PATCH[plan.stem]
    size = plan.image_size
    if size is None:
        if plan.stem == "small":
            raise ConfigError("vit_b_16 with the small stem needs to know the image size: it has one position for each patch.")
        size = (VIT_DEFAULT_SIDE, VIT_DEFAULT_SIDE)
    side = size[0]
    if side != size[1] or side % patch:
        raise ConfigError(
            f"vit_b_16 with the {plan.stem} stem takes square images whose side is a multiple of {patch} pixels, but got {_size(size)}."
        )
    backbone = VisionTransformer(
        image_size=side, patch_size=patch, num_layers=12, num_heads=12, hidden_dim=768, mlp_dim=3072, num_classes=plan.n_classes
    )
    if plan.in_channels != 3:
        backbone.conv_proj = nn.Conv2d(plan.in_channels, 768, patch, patch)
        nn.init.trunc_normal_(backbone.conv_proj.weight, std=(plan.in_channels * patch**2) ** -0.5)
        nn.init.zeros_(backbone.conv_proj.bias)
    return TorchvisionNetwork(backbone, head="heads.head", stem=("conv_proj.weight", "encoder.pos_embedding"))


def _needs_own_stem(plan: Plan) -> bool:
    return plan.stem == "small" or plan.in_channels != 3


def _size(image_size: tuple[int, int]) -> str:
    height, width = image_size
    return f"{width}x{height}"
