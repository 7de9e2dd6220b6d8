"""Whether a run folder holds files of its own alone: a link in a stranger's could lead what is written there to any file of the user's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bsd_core.errors import ConfigError, one_line, shown

_DEPTH: Final = 5  # folders in folders; ours are at most two
_NOT_OURS: Final = ("ray",)  # removed, never read or followed


def check_no_links(folder: Path) -> None:
    """Refuse a run folder with a symbolic link, or with anything but files and folders, in it.

    Raises:
        ConfigError: it names the first.
    """
    try:
        for entry in _entries(folder):
            if entry.is_symlink():
                raise ConfigError(
                    f"{shown(entry.path, limit=200)} is a link to {shown(os.readlink(entry.path))}. A run's files lie in its own folder, "
                    "so that what is written to them reaches no others: put the files themselves there."
                )
            if not (entry.is_file() or entry.is_dir()):
                raise ConfigError(f"{shown(entry.path, limit=200)} is neither a file nor a folder, so it is no part of a run. Remove it.")
    except OSError as error:
        raise ConfigError(f"The run folder {shown(folder, limit=200)} cannot be read ({one_line(error, limit=120)}).") from error


def _entries(folder: Path, depth: int = 0) -> Iterator[os.DirEntry[str]]:
    """Whatever lies below a folder, as deep as ours go; what is below its `ray` is left out, and nothing is followed."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:  # a run that is at work removes checkpoints
        return
    for entry in entries:
        yield entry
        if entry.is_dir(follow_symlinks=False) and depth < _DEPTH and not (depth == 0 and entry.name in _NOT_OURS):
            yield from _entries(Path(entry.path), depth + 1)
