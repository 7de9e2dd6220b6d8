"""The pre-activation ResNet-18 that CS-KD is published with.

Same as the reference (alinlab/cs-kd, `models/resnet.py`, CIFAR_ResNet18):
    - blocks [2, 2, 2, 2] of width 64, 128, 256, 512, a 3x3 stem, and PyTorch's own initialisation;
    - normalisation and ReLU after the stem, and none between the last block and the pooling, unlike He et al. (ECCV 2016);
    - a shortcut starts from the activated input, also where it is the identity.
Different:
    - the pooling takes the whole map, which is the reference's 4x4 window at 32x32, so other sizes work too;
    - for 224 px (`published`) the stem is 7x7 with stride 2 and max pooling; the reference turns to torchvision's `resnet18` there.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from bsd_core.models.base import Network, Plan, global_average, stem_convolution, stem_pool


class PreActBlock(nn.Module):
    """Normalisation and ReLU before each of two 3x3 convolutions; a 1x1 convolution in the shortcut where the shape changes.

    Args:
        n_in, n_out: channels.
        stride: of the first convolution.
        activated_identity: whether an identity shortcut starts after the first ReLU (CS-KD's network) or before it (wide ResNet).
    """

    def __init__(self, n_in: int, n_out: int, stride: int, *, activated_identity: bool) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(n_in)
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(n_in, n_out, 1, stride, bias=False) if stride != 1 or n_in != n_out else None
        self.activated_identity = activated_identity

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        activated = functional.relu_(self.norm1(x))
        out: Tensor = self.conv2(functional.relu_(self.norm2(self.conv1(activated))))
        if self.shortcut is not None:
            x = self.shortcut(activated)
        elif self.activated_identity:
            x = activated
        return out + x


def preact_stages(n_in: int, widths: Sequence[int], *, blocks: int, activated_identity: bool) -> nn.Sequential:
    """`blocks` blocks of each width; every stage but the first halves the resolution."""
    layers: list[nn.Module] = []
    for stage, n_out in enumerate(widths):
        for block in range(blocks):
            layers.append(PreActBlock(n_in, n_out, 2 if stage > 0 and block == 0 else 1, activated_identity=activated_identity))
            n_in = n_out
    return nn.Sequential(*layers)


class PreActResNet18(Network):
    """Four stages of `plan.width`, twice, four and eight times as many channels, two blocks each."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        width = plan.stage_width
        self.stem = stem_convolution(plan, width)
        self.norm = nn.BatchNorm2d(width)
        self.pool = stem_pool(plan)
        self.stages = preact_stages(width, [width * 2**stage for stage in range(4)], blocks=2, activated_identity=True)
        self.n_features = 8 * width
        self.classifier = nn.Linear(self.n_features, plan.n_classes)

    def features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 8 * width)."""
        out: Tensor = self.stages(self.pool(functional.relu_(self.norm(self.stem(x)))))
        return global_average(out)
