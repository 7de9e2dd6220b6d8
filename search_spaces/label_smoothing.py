"""Label smoothing: 0.1 is Szegedy et al.'s and torch's convention (uniform); 0.05 is what focal calibration compares with."""

from optuna.distributions import BaseDistribution, FloatDistribution

from search_spaces.base import RECIPE_PS_KD

SPACE: dict[str, BaseDistribution] = {
    "smoothing": FloatDistribution(0.005, 0.5, log=True),
}
PUBLISHED = ({"smoothing": 0.1, **RECIPE_PS_KD}, {"smoothing": 0.05, **RECIPE_PS_KD})
