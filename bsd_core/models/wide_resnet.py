"""Wide residual networks (Zagoruyko & Komodakis, BMVC 2016): WRN-28-k, without dropout."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn
from torch.nn import functional

from bsd_core.models.base import Network, Plan, global_average, init_convolutions, stem_convolution, stem_pool
from bsd_core.models.preact_resnet import preact_stages

DEPTH: Final = 28  # 6n + 4


class WideResNet(Network):
    """28 layers in three stages of 16k, 32k and 64k channels, where k = `plan.width` is the widening factor.

    WRN-28-10 on 10 classes has 36,479,194 parameters on RGB images. The `published` stem is ours: the paper's network for 224 px is
    another one, with bottlenecks.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        widths = [16 * plan.stage_width * 2**stage for stage in range(3)]
        self.stem = stem_convolution(plan, 16)
        self.pool = stem_pool(plan)
        self.stages = preact_stages(16, widths, blocks=(DEPTH - 4) // 6, activated_identity=False)
        self.n_features = widths[-1]
        self.norm = nn.BatchNorm2d(self.n_features)
        self.classifier = nn.Linear(self.n_features, plan.n_classes)
        init_convolutions(self)

    def features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 64 k)."""
        return global_average(functional.relu_(self.norm(self.stages(self.pool(self.stem(x))))))
