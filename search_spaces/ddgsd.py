"""DDGSD: weights 1 and 5e-4 are what an unofficial code calls the paper's.

The second point translates them to our averaged cross-entropies. No recipe of its own was readable.
"""

from optuna.distributions import BaseDistribution, FloatDistribution

from search_spaces.base import RECIPE_PS_KD

SPACE: dict[str, BaseDistribution] = {
    "distill_weight": FloatDistribution(0.1, 10.0, log=True),  # of both divergences
    "mmd_weight": FloatDistribution(5e-5, 0.5, log=True),  # of the discrepancy of the features
}
PUBLISHED = (
    {"distill_weight": 1.0, "mmd_weight": 5e-4, **RECIPE_PS_KD},
    {"distill_weight": 0.5, "mmd_weight": 2.5e-4, **RECIPE_PS_KD},
)
