"""Errors a user can meet, and how their messages are made.

    BSDError
    ├── ConfigError (also ValueError)        a setting breaks its rule; nothing has been started
    ├── DataError (also ValueError)          a file or an array is not what it should be
    │   └── MissingDataError                 files of a known data set are not there
    │       └── NotDownloadedError           ... that could be downloaded
    ├── StorageError (also OSError)          results cannot be written or read
    └── DivergedError (also ArithmeticError) a training produced NaN or infinity; only that training ends

A message states the rule, the value, and the way out, in one line.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable


class BSDError(Exception):
    """Base of every error this project raises on purpose."""


class ConfigError(BSDError, ValueError):
    """A setting breaks its rule."""


class DataError(BSDError, ValueError):
    """A file or an array is not what it should be."""


class MissingDataError(DataError):
    """The files of a known data set are not there, and were not to be fetched."""


class NotDownloadedError(MissingDataError):
    """The files of a data set that can be downloaded are not there, and were not to be."""


class StorageError(BSDError, OSError):
    """Results cannot be written or read."""


class DivergedError(BSDError, ArithmeticError):
    """A training produced NaN or infinity."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> ConfigError:
    """The error for a name that is not registered: what exists, and the nearest spelling if one is near."""
    names = sorted(known)
    near = nearest(str(name), names)
    hint = f" Did you mean {near!r}?" if near else ""  # first, since the list can be long
    return ConfigError(f"Unknown {kind} {shown(name)}.{hint} Known: {enumerated(names)}.")


def enumerated(names: Iterable[str], *, limit: int = 400) -> str:
    """The names separated by commas; of more than about `limit` characters the first ones whole, and how many more there are."""
    names = list(names)
    if len(whole := ", ".join(names)) <= limit:
        return whole
    ends = itertools.accumulate(len(name) + 2 for name in names)
    n = max(1, sum(end <= limit for end in ends))
    return f"{', '.join(names[:n])} and {len(names) - n} more" if n < len(names) else whole


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The registered name most like `name`, ignoring case and punctuation, or None where nothing is near."""

    def plain(text: str) -> str:
        return "".join(character for character in text.lower() if character.isalnum())

    if len(name) > 200:
        return None
    by_plain = {plain(candidate): candidate for candidate in known}
    matches = difflib.get_close_matches(plain(name), list(by_plain), n=1, cutoff=0.55)
    return by_plain[matches[0]] if matches else None


def shown(value: object, *, limit: int = 80) -> str:
    """`value` in quotes, control characters escaped, at most about `limit` characters."""
    text = repr(str(value))
    return text if len(text) <= limit else f"{text[: limit - 2]}…{text[-1]}"


def printable(text: str, *, limit: int = 600) -> str:
    """`text` with line breaks and control characters escaped, cut in the middle where it is longer than `limit`."""
    text = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
    return text if len(text) <= limit else f"{text[: limit - 200]} … {text[-190:]}"


def one_line(error: BaseException, *, limit: int = 300) -> str:
    """`error` as one line of at most `limit` characters, for tables and terminals."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"


def why(error: BaseException) -> str:
    """What the system said of a file, without the file's name: it may be a temporary one, and whoever tells of it names the place."""
    if isinstance(error, OSError) and error.strerror and not isinstance(error, FileExistsError):  # what is in the way is worth telling
        return error.strerror
    return one_line(error, limit=120)


def require(condition: bool, rule: str, **values: object) -> None:
    """Raise ConfigError "`rule` must hold, but got name=value." unless `condition` is true."""
    if not condition:
        got = ", ".join(f"{name}={value!r}" for name, value in values.items())
        raise ConfigError(f"`{rule}` must hold, but got {got}.")
