"""The names of the data sets, apart from what loads them, so that reading a study needs no torch."""

from __future__ import annotations

from typing import Final

from bsd_core.errors import unknown_name

SOURCE_NAMES: Final = (
    "cifar10",
    "cifar100",
    "cub200",
    "digits",
    "fashion_mnist",
    "imagenet",
    "mit67",
    "mnist",
    "stanford_dogs",
    "svhn",
    "tiny_imagenet",
)
PATH_KINDS: Final = ("folder", "parquet")


def check_name(name: str) -> None:
    """Raise ConfigError unless `name` is one of `SOURCE_NAMES` or <kind>:<path> with a kind of `PATH_KINDS`."""
    kind, colon, _ = name.partition(":")
    if name not in SOURCE_NAMES and not (colon and kind in PATH_KINDS):
        raise unknown_name("data set", name, [*SOURCE_NAMES, *(f"{kind}:<path>" for kind in PATH_KINDS)])
