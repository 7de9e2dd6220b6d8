"""CS-KD-E: no published settings were readable; the first points are CS-KD's, with the second view weighing as much as the partner."""

from optuna.distributions import BaseDistribution, FloatDistribution

from search_spaces.base import RECIPE_CS_KD

SPACE: dict[str, BaseDistribution] = {
    "temperature": FloatDistribution(1.0, 10.0, log=True),  # softens partner, second view and primary
    "distill_weight": FloatDistribution(0.1, 10.0, log=True),  # of the partners
    "view_weight": FloatDistribution(0.1, 10.0, log=True),  # of the second views
}
PUBLISHED = (
    {"temperature": 4.0, "distill_weight": 1.0, "view_weight": 1.0, **RECIPE_CS_KD},
    {"temperature": 4.0, "distill_weight": 3.0, "view_weight": 3.0, **RECIPE_CS_KD},
)
