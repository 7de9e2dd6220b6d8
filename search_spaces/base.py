"""What a search space is, and the two settings that every method shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from optuna.distributions import BaseDistribution, FloatDistribution

Settings = Mapping[str, float]

# The recipe is searched for every method alike: a method's settings are only as good as the learning rate they were tried with.
SHARED: Final[dict[str, BaseDistribution]] = {
    "learning_rate": FloatDistribution(0.01, 0.5, log=True),  # peak of the schedule
    "weight_decay": FloatDistribution(1e-5, 5e-3, log=True),  # L2 on all parameters
}
# CS-KD trains with learning rate 0.1 and weight decay 1e-4; PS-KD, DLB and focal calibration with 0.1 or 0.05 and 5e-4.
RECIPE_CS_KD: Final[Settings] = {"learning_rate": 0.1, "weight_decay": 1e-4}
RECIPE_PS_KD: Final[Settings] = {"learning_rate": 0.1, "weight_decay": 5e-4}


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """The settings of one method that a study searches.

    Attributes:
        method: its name in `bsd_core.methods`.
        own: distributions of the method's own settings.
        published: settings tried first in each arm, complete, in this order.
        recipe: values of the shared settings where a study does not search them.
    """

    method: str
    own: Mapping[str, BaseDistribution]
    published: tuple[Settings, ...]
    recipe: Settings

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The method's own settings, then the shared ones."""
        return {**self.own, **SHARED}
