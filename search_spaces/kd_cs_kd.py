"""KD with CS-KD: no published settings were readable; the first points put CS-KD's together with shares of KD."""

from optuna.distributions import BaseDistribution, FloatDistribution

from search_spaces.base import RECIPE_CS_KD, RECIPE_PS_KD

SPACE: dict[str, BaseDistribution] = {
    "temperature": FloatDistribution(1.0, 10.0, log=True),  # softens teacher, partner and student
    "distill_share": FloatDistribution(0.1, 1.0),  # a; 1 leaves the labels to the teacher
    "partner_weight": FloatDistribution(0.1, 10.0, log=True),  # of CS-KD's term
}
EXTRA: dict[str, BaseDistribution] = {
    "teacher_share": FloatDistribution(0.2, 0.8),  # of the steps
}
PUBLISHED = (
    {"temperature": 4.0, "distill_share": 0.9, "partner_weight": 1.0, **RECIPE_CS_KD},
    {"temperature": 4.0, "distill_share": 0.5, "partner_weight": 1.0, **RECIPE_PS_KD},
)
