"""ELR: the reference's settings for CIFAR-10 with symmetric and with asymmetric noise, and for CIFAR-100, with its recipe."""

from typing import Final

from optuna.distributions import BaseDistribution, FloatDistribution

from search_spaces.base import Settings

SPACE: dict[str, BaseDistribution] = {
    "beta": FloatDistribution(0.5, 0.99),  # share of the old memory that is kept
    "weight": FloatDistribution(0.1, 10.0, log=True),  # lambda
}
_RECIPE: Final[Settings] = {"learning_rate": 0.02, "weight_decay": 1e-3}
PUBLISHED = (
    {"beta": 0.7, "weight": 3.0, **_RECIPE},
    {"beta": 0.9, "weight": 1.0, **_RECIPE},
    {"beta": 0.9, "weight": 7.0, **_RECIPE},
)
