"""The CIFAR family of residual networks (He et al., CVPR 2016, section 4.2)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from bsd_core.models.base import Network, Plan, global_average, init_convolutions, stem_convolution, stem_pool, subsample


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
        out = functional.relu_(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        if self.stride != 1:
            x = subsample(x, self.stride)
        if self.new_channels:
            x = functional.pad(x, (0, 0, 0, 0, 0, self.new_channels))
        return functional.relu_(out + x)


class CifarResNet(Network):
    """6n+2 layers in three stages of `plan.width`, twice and four times as many channels.

    resnet20 at width 16 on 10 classes has 269,722 parameters on RGB images. The `published` stem is ours: the paper has none for 224 px.
    """

    def __init__(self, plan: Plan, *, depth: int) -> None:
        super().__init__()
        n_in = width = plan.stage_width
        self.stem = stem_convolution(plan, width)
        self.norm = nn.BatchNorm2d(width)
        self.pool = stem_pool(plan)
        stages: list[nn.Module] = []
        for stage in range(3):
            n_out = width * 2**stage
            for block in range((depth - 2) // 6):
                stages.append(BasicBlock(n_in, n_out, 2 if stage > 0 and block == 0 else 1))
                n_in = n_out
        self.stages = nn.Sequential(*stages)
        self.n_features = n_in
        self.classifier = nn.Linear(n_in, plan.n_classes)
        init_convolutions(self)

    def features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 4 * width)."""
        out: Tensor = self.stages(self.pool(functional.relu_(self.norm(self.stem(x)))))
        return global_average(out)
