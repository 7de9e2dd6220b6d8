"""The names of the networks and which of them have a width, apart from what builds them, so that reading a study needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bsd_core.errors import ConfigError, require

# Network -> its published width; None where it cannot be changed.
WIDTHS: Final[Mapping[str, int | None]] = {
    "densenet121": None,
    "preact_resnet18": 64,
    "resnet101": None,
    "resnet18": None,
    "resnet20": 16,
    "resnet34": None,
    "resnet50": None,
    "resnet56": 16,
    "resnet8": 16,
    "resnext101_32x4d": None,
    "vit_b_16": None,
    "wide_resnet": 10,
}


def check_width(name: str, width: int | None) -> None:
    """Raise ConfigError where a known network cannot have this width."""
    require(width is None or 1 <= width <= 1024, "1 <= width <= 1024", width=width)
    if width is not None and WIDTHS[name] is None:
        others = ", ".join(sorted(other for other, published in WIDTHS.items() if published is not None))
        raise ConfigError(f"{name} has a fixed width: leave `width` out, or choose one of {others}.")
