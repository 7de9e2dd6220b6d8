"""In which order settings are told: that of their method's search space, wherever they were read from."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from search_spaces import SEARCH_SPACES, SHARED


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """The names as the search space has them: the method's own settings, then the shared ones.

    The method need not be known: it is the one whose space has most of the names, and of several such the smallest space. Names of no
    space stand between the two, sorted, so that equal settings are always told alike.
    """
    return _in_order(frozenset(names))


@functools.lru_cache(1024)
def _in_order(names: frozenset[str]) -> tuple[str, ...]:
    spaces = [(*space.own, *space.extra) for space in SEARCH_SPACES.values()]
    own = min(spaces, key=lambda space: (-len(names & set(space)), len(space)))
    return (
        *(name for name in own if name in names),
        *sorted(names - {*own, *SHARED}),
        *(name for name in SHARED if name in names),
    )
