"""The one file that a command writes, checked before the work begins."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from bsd_core.checkpoint import check_writable
from bsd_core.errors import ConfigError, shown


def check_output(out: str, suffixes: Collection[str]) -> Path:
    """The path of a file that can be written, of a kind that can be made; its folder is made.

    Raises:
        ConfigError: another suffix than one of `suffixes` (with their dots), or a place where nothing can be written.
    """
    path = Path(os.path.abspath(os.path.expanduser(out)))
    if path.suffix.lower() not in suffixes:
        raise ConfigError(f"The file to write ends in {', '.join(suffixes)}, but got {shown(out)}.")
    check_writable(path)
    return path
