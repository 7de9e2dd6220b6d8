"""KD: temperature 6 is Teacher-free KD's self-distillation of a ResNet-18 on CIFAR-100, its 0.95 translated (see `bsd_core/methods/kd.py`).

Temperature 4 with 0.9 is what papers commonly compare with; we read no source for it. Searched on request: how the budget is parted
between teacher and student; the comparisons known to us do not count the teacher's training.
"""

from optuna.distributions import BaseDistribution, FloatDistribution

from search_spaces.base import RECIPE_PS_KD

SPACE: dict[str, BaseDistribution] = {
    "temperature": FloatDistribution(1.0, 20.0, log=True),  # softens teacher and student
    "distill_share": FloatDistribution(0.1, 1.0),  # a; 1 leaves the labels to the teacher
}
EXTRA: dict[str, BaseDistribution] = {
    "teacher_share": FloatDistribution(0.2, 0.8),  # of the steps
}
PUBLISHED = (
    {"temperature": 6.0, "distill_share": 0.905, **RECIPE_PS_KD},
    {"temperature": 4.0, "distill_share": 0.9, **RECIPE_PS_KD},
)
