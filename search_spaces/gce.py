"""Generalised cross-entropy: q = 0.7 is the paper's usual value; CTRR runs 0.6, and 0.8 under much noise, at a lower learning rate."""

from typing import Final

from optuna.distributions import BaseDistribution, FloatDistribution

from search_spaces.base import RECIPE_PS_KD, Settings

SPACE: dict[str, BaseDistribution] = {
    "exponent": FloatDistribution(0.05, 1.0),  # q
}
_RECIPE_CTRR: Final[Settings] = {"learning_rate": 0.02, "weight_decay": 5e-4}
PUBLISHED = (
    {"exponent": 0.7, **RECIPE_PS_KD},
    {"exponent": 0.6, **_RECIPE_CTRR},
    {"exponent": 0.8, **_RECIPE_CTRR},
)
