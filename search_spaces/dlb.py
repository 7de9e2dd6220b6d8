"""DLB: temperature 3 with alpha 1 are the published values as secondary sources have them (its code has no defaults).

The recipe of its code's baseline: learning rate 0.05, weight decay 5e-4.
"""

from optuna.distributions import BaseDistribution, FloatDistribution

SPACE: dict[str, BaseDistribution] = {
    "temperature": FloatDistribution(1.0, 10.0, log=True),  # softens both batches' predictions
    "distill_weight": FloatDistribution(0.1, 10.0, log=True),  # alpha
}
PUBLISHED = (
    {"temperature": 3.0, "distill_weight": 1.0, "learning_rate": 0.05, "weight_decay": 5e-4},
    {"temperature": 3.0, "distill_weight": 0.5, "learning_rate": 0.05, "weight_decay": 5e-4},  # its code's default name: TP3_0.5
)
