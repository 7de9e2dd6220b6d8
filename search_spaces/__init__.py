"""What is searched: one file a method, with SPACE (Optuna distributions) and PUBLISHED (settings tried first)."""

from __future__ import annotations

from types import ModuleType
from typing import Final

from bsd_core.errors import unknown_name
from search_spaces import bsd, cross_entropy, cs_kd, label_smoothing
from search_spaces.base import SHARED, SearchSpace, Settings

__all__ = ["SEARCH_SPACES", "SHARED", "SearchSpace", "Settings", "get_search_space"]


def _space(method: str, module: ModuleType) -> SearchSpace:
    published = tuple(module.PUBLISHED)
    recipe = {name: published[0][name] for name in SHARED}
    return SearchSpace(method=method, own=module.SPACE, published=published, recipe=recipe)


SEARCH_SPACES: Final[dict[str, SearchSpace]] = {
    "bsd": _space("bsd", bsd),
    "cross_entropy": _space("cross_entropy", cross_entropy),
    "cs_kd": _space("cs_kd", cs_kd),
    "label_smoothing": _space("label_smoothing", label_smoothing),
}


def get_search_space(method: str) -> SearchSpace:
    """The search space of `method`; an unknown name says what exists."""
    if method not in SEARCH_SPACES:
        raise unknown_name("search space", method, SEARCH_SPACES)
    return SEARCH_SPACES[method]
