"""Corruptions and perturbations as users write them: names, or one name of a group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bsd_core.errors import ConfigError, unknown_name


def chosen_names(kind: str, names: Sequence[str], groups: Mapping[str, Sequence[str]]) -> list[str]:
    """What a list stands for: names, or one of the words `all`, `main`, `none` alone.

    Args:
        kind: in the singular, for errors.
        names: as written.
        groups: names by word; `all` is one of the words.

    Raises:
        ConfigError: an unknown name, one listed twice, or a word that does not stand alone.
    """
    if len(names) == 1 and names[0] in groups:
        return list(groups[names[0]])
    if list(names) == ["none"]:
        return []
    for name in names:
        if name in ("none", *groups):
            raise ConfigError(f"`{name}` stands alone, but the list also names other {kind}s.")
        if name not in groups["all"]:
            raise unknown_name(kind, name, [*groups["all"], *groups, "none"])
        if names.count(name) > 1:
            raise ConfigError(f"The {kind} {name!r} is listed twice.")
    return list(names)
