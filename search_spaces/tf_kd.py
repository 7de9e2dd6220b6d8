"""TF-KD: the reference's settings on CIFAR-100 for ResNet-18, MobileNetV2, ShuffleNetV2 and GoogLeNet.

Its multipliers 100, 1, 1 and 50 divide by the number of classes as well; ours do not, so they are a hundredth of it.
"""

from optuna.distributions import BaseDistribution, FloatDistribution

from search_spaces.base import RECIPE_PS_KD

SPACE: dict[str, BaseDistribution] = {
    "temperature": FloatDistribution(1.0, 100.0, log=True),  # of the virtual teacher
    "distill_weight": FloatDistribution(0.05, 0.95),  # a
    "multiplier": FloatDistribution(0.01, 10.0, log=True),
}
# The reference's learning rate 0.1 at batches of 128 and weight decay 5e-4 are PS-KD's too.
PUBLISHED = (
    {"temperature": 20.0, "distill_weight": 0.1, "multiplier": 1.0, **RECIPE_PS_KD},
    {"temperature": 40.0, "distill_weight": 0.95, "multiplier": 0.01, **RECIPE_PS_KD},
    {"temperature": 10.0, "distill_weight": 0.95, "multiplier": 0.01, **RECIPE_PS_KD},
    {"temperature": 40.0, "distill_weight": 0.1, "multiplier": 0.5, **RECIPE_PS_KD},
)
