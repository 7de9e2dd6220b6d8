"""PS-KD: 0.8 in the last epoch is the reference code's, for CIFAR-100."""

from optuna.distributions import BaseDistribution, FloatDistribution

from search_spaces.base import RECIPE_PS_KD

SPACE: dict[str, BaseDistribution] = {
    "history_weight": FloatDistribution(0.1, 1.0),  # in the last epoch
}
PUBLISHED = ({"history_weight": 0.8, **RECIPE_PS_KD},)
