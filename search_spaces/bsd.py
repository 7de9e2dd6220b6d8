"""BSD: none of the paper's settings could be read, so the first points are ours.

Strength 10 with discount 0.9 keeps the posterior's total constant; temperature 1 is the paper's evidence. In short trainings a low
temperature counters the underconfidence that soft early evidence leaves behind.
"""

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.base import RECIPE_PS_KD

SPACE: dict[str, BaseDistribution] = {
    "prior_strength": FloatDistribution(0.5, 100.0, log=True),
    "discount": FloatDistribution(0.5, 1.0),
    "temperature": FloatDistribution(0.1, 2.0, log=True),  # of the evidence
}
EXTRA: dict[str, BaseDistribution] = {
    "warmup_epochs": IntDistribution(0, 10),  # epochs before the first update
    "evidence": CategoricalDistribution(("train", "clean")),  # a clean pass costs as many images as the training
}
PUBLISHED = (
    {"prior_strength": 10.0, "discount": 0.9, "temperature": 1.0, **RECIPE_PS_KD},
    {"prior_strength": 10.0, "discount": 0.9, "temperature": 0.3, **RECIPE_PS_KD},
)
