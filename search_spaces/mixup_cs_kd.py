"""Mixup with CS-KD: no published settings were readable; the first points put those of both codes together.

alpha = 1 is mixup's code for CIFAR, alpha = 0.4 that of a library of self-distillation methods (winycg/Self-KD-Lib).
"""

from optuna.distributions import BaseDistribution, FloatDistribution

from search_spaces.base import RECIPE_CS_KD

SPACE: dict[str, BaseDistribution] = {
    "alpha": FloatDistribution(0.05, 2.0, log=True),  # lam ~ Beta(alpha, alpha)
    "temperature": FloatDistribution(1.0, 10.0, log=True),  # softens partner and primary
    "distill_weight": FloatDistribution(0.1, 10.0, log=True),
}
PUBLISHED = (
    {"alpha": 1.0, "temperature": 4.0, "distill_weight": 1.0, **RECIPE_CS_KD},
    {"alpha": 0.4, "temperature": 4.0, "distill_weight": 1.0, **RECIPE_CS_KD},
)
