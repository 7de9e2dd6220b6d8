"""Temporal ensembling: weights 30 (CIFAR-10), 100 (CIFAR-100) and 300 (noisy labels, SVHN) are the reference's; so is decay 0.6.

Its recipe (Adam, rate 0.003) is not one of ours, so the settings are tried with PS-KD's. Its weight 3000, for more than half of the labels
wrong, is beyond what SGD at our rates bears.
"""

from optuna.distributions import BaseDistribution, FloatDistribution

from search_spaces.base import RECIPE_PS_KD

SPACE: dict[str, BaseDistribution] = {
    "decay": FloatDistribution(0.3, 0.99),  # share of the old ensemble that is kept
    "consistency_weight": FloatDistribution(1.0, 1000.0, log=True),
}
EXTRA: dict[str, BaseDistribution] = {
    "ramp_share": FloatDistribution(0.05, 1.0),  # of the training, until the weight is whole
}
PUBLISHED = tuple({"decay": 0.6, "consistency_weight": weight, **RECIPE_PS_KD} for weight in (30.0, 100.0, 300.0))
