"""mixup: alpha 1 is the reference's for CIFAR, with its recipe; 0.4 is what Self-KD-Lib compares with."""

from optuna.distributions import BaseDistribution, FloatDistribution

from search_spaces.base import RECIPE_CS_KD

SPACE: dict[str, BaseDistribution] = {
    "alpha": FloatDistribution(0.05, 4.0, log=True),
}
# The reference's learning rate 0.1 and weight decay 1e-4 are CS-KD's too.
PUBLISHED = ({"alpha": 1.0, **RECIPE_CS_KD}, {"alpha": 0.4, **RECIPE_CS_KD})
