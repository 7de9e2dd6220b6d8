"""What a search space is, and the two settings that every method shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from optuna.distributions import BaseDistribution, FloatDistribution

Settings = Mapping[str, float | int | str]

# The recipe is searched for every method alike: a method's settings are only as good as the learning rate they were tried with.
SHARED: Final[dict[str, BaseDistribution]] = {
    "learning_rate": FloatDistribution(0.01, 0.5, log=True),  # peak of the schedule
    "weight_decay": FloatDistribution(1e-5, 5e-3, log=True),  # L2 on all parameters
}
# AdamW's rates are smaller and its decoupled decay larger; its recipe is what vision transformers are commonly trained with.
SHARED_BY_OPTIMIZER: Final[dict[str, dict[str, BaseDistribution]]] = {
    "sgd": SHARED,
    "adamw": {"learning_rate": FloatDistribution(1e-4, 1e-2, log=True), "weight_decay": FloatDistribution(1e-3, 0.3, log=True)},
}
RECIPE_ADAMW: Final[Settings] = {"learning_rate": 1e-3, "weight_decay": 0.05}
# CS-KD trains with learning rate 0.1 and weight decay 1e-4; PS-KD, DLB and focal calibration with 0.1 or 0.05 and 5e-4.
RECIPE_CS_KD: Final[Settings] = {"learning_rate": 0.1, "weight_decay": 1e-4}
RECIPE_PS_KD: Final[Settings] = {"learning_rate": 0.1, "weight_decay": 5e-4}


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """The settings of one method that a study searches.

    Attributes:
        method: its name in `bsd_core.methods`.
        own: distributions of the method's own settings.
        extra: distributions of further settings, searched only where a study asks for them.
        published: settings tried first in each arm, complete, in this order.
    """

    method: str
    own: Mapping[str, BaseDistribution]
    extra: Mapping[str, BaseDistribution]
    published: tuple[Settings, ...]

    def distributions(self, optimizer: str = "sgd") -> dict[str, BaseDistribution]:
        """The method's own settings, then the shared ones."""
        return {**self.own, **SHARED_BY_OPTIMIZER[optimizer]}

    def starts(self, optimizer: str = "sgd") -> tuple[Settings, ...]:
        """`published`, with the optimiser's own rates where it is not the SGD that the literature used."""
        return self.published if optimizer == "sgd" else tuple({**point, **RECIPE_ADAMW} for point in self.published)
