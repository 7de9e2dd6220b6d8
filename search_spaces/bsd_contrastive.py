"""BSD with contrastive regularisation: none of the paper's settings could be read.

The first points put BSD's (ours) together with CTRR's own, from its code: weight 50 with threshold 0.4 (CIFAR-10, symmetric noise of
20 %), 90 with 0.4 (of 40 %), 130 with 0.05 (CIFAR-100, symmetric noise), all with learning rate 0.02 and weight decay 5e-4.
"""

from optuna.distributions import BaseDistribution, FloatDistribution

from search_spaces.bsd import PUBLISHED as BSD_PUBLISHED
from search_spaces.bsd import SPACE as BSD

SPACE: dict[str, BaseDistribution] = {
    **BSD,
    "contrastive_weight": FloatDistribution(1.0, 200.0, log=True),  # lambda
    "threshold": FloatDistribution(0.01, 0.9, log=True),  # tau
}
PUBLISHED = tuple(
    {**BSD_PUBLISHED[0], "contrastive_weight": weight, "threshold": threshold, "learning_rate": 0.02}
    for weight, threshold in ((50.0, 0.4), (90.0, 0.4), (130.0, 0.05))
)
