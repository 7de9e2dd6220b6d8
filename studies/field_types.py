"""Types and checks that fields of a study file share."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator

from bsd_core.errors import ConfigError, unknown_name

T = TypeVar("T")


def _encodable(text: str) -> str:
    """Refuse what no file can hold: half a surrogate pair, a NUL."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigError("A text must be valid Unicode.") from None
    if "\0" in text:
        raise ConfigError("A text must not hold a NUL character.")
    return text


Text = Annotated[str, AfterValidator(_encodable)]


def _setting(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ConfigError(f"input should be a number or a text, but got {value!r}")
    if isinstance(value, int) and abs(value) > 2**53:
        raise ConfigError("a whole number should be at most 2^53, which tables can hold")
    return value


Setting = Annotated[Any, AfterValidator(_setting)]


def known(kind: str, names: Collection[str]) -> AfterValidator:
    """One of a closed list of names; another is refused with the nearest."""

    def check(name: str) -> str:
        if name not in names:
            raise unknown_name(kind, name, names)
        return name

    return AfterValidator(check)


def listed(value: Any) -> Any:
    """One value stands for a list of one."""
    return value if isinstance(value, list) else [value]


def unique(kind: str, values: list[T]) -> list[T]:
    """The values, or a ConfigError that names the first one listed twice."""
    for value in values:
        if values.count(value) > 1:
            raise ConfigError(f"The {kind} {value!r} is listed twice.")
    return values
