"""CS-KD: temperature 4 with lambda 1 (CIFAR) and lambda 3 (fine-grained, CUB) are the reference code's settings."""

from optuna.distributions import BaseDistribution, FloatDistribution

from search_spaces.base import RECIPE_CS_KD

SPACE: dict[str, BaseDistribution] = {
    "temperature": FloatDistribution(1.0, 10.0, log=True),  # softens partner and primary
    "distill_weight": FloatDistribution(0.1, 10.0, log=True),  # lambda
}
PUBLISHED = (
    {"temperature": 4.0, "distill_weight": 1.0, **RECIPE_CS_KD},
    {"temperature": 4.0, "distill_weight": 3.0, **RECIPE_CS_KD},
)
