"""Cross-entropy has no settings of its own; the recipe is searched as for every method."""

from optuna.distributions import BaseDistribution

from search_spaces.base import RECIPE_CS_KD, RECIPE_PS_KD

SPACE: dict[str, BaseDistribution] = {}
PUBLISHED = ({**RECIPE_PS_KD}, {**RECIPE_CS_KD})
