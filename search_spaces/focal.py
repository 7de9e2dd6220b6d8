"""Focal loss: FL-3 and FLSD-53 of focal calibration, with its recipe (learning rate 0.1, weight decay 5e-4)."""

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from search_spaces.base import RECIPE_PS_KD

SPACE: dict[str, BaseDistribution] = {
    "gamma": FloatDistribution(0.5, 6.0),
    "schedule": CategoricalDistribution(("constant", "flsd53")),
}
PUBLISHED = (
    {"gamma": 3.0, "schedule": "constant", **RECIPE_PS_KD},
    {"gamma": 3.0, "schedule": "flsd53", **RECIPE_PS_KD},
)
