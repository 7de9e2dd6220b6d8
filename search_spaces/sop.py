"""SOP: the reference's settings for CIFAR-100 with symmetric and with asymmetric noise, with its recipe.

What makes it SOP+ (balance 0.1, consistency 0.9) is searched where a study asks for it: a second view doubles the images of a step.
"""

from typing import Final

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from search_spaces.base import Settings

SPACE: dict[str, BaseDistribution] = {
    "learning_rate_u": FloatDistribution(0.01, 10.0, log=True),
    "learning_rate_v": FloatDistribution(0.1, 1000.0, log=True),
}
EXTRA: dict[str, BaseDistribution] = {
    "balance_weight": CategoricalDistribution((0.0, 0.1)),
    "consistency_weight": CategoricalDistribution((0.0, 0.9)),
}
_RECIPE: Final[Settings] = {"learning_rate": 0.02, "weight_decay": 1e-3}
PUBLISHED = (
    {"learning_rate_u": 1.0, "learning_rate_v": 10.0, **_RECIPE},
    {"learning_rate_u": 0.1, "learning_rate_v": 100.0, **_RECIPE},
)
