"""Confidence penalty: no published setting could be read; 0.1 is what is commonly used."""

from optuna.distributions import BaseDistribution, FloatDistribution

from search_spaces.base import RECIPE_PS_KD

SPACE: dict[str, BaseDistribution] = {
    "penalty_weight": FloatDistribution(0.01, 1.0, log=True),  # of the entropy
}
PUBLISHED = ({"penalty_weight": 0.1, **RECIPE_PS_KD},)
