"""Dual focal loss: gamma 5 is the recommended value by secondary sources; the reference code's default is 0, which is cross-entropy."""

from optuna.distributions import BaseDistribution, FloatDistribution

from search_spaces.base import RECIPE_PS_KD

SPACE: dict[str, BaseDistribution] = {
    "gamma": FloatDistribution(0.5, 10.0),
}
PUBLISHED = ({"gamma": 5.0, **RECIPE_PS_KD},)
