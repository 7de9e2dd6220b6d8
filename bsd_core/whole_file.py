"""Files that a reader finds whole or not at all, whatever dies while they are written."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO

from bsd_core.errors import StorageError, why


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Under a temporary name, synced, renamed.

    Args:
        path: missing folders are made; a file that is there is replaced.
        write: writes the content into an open file.

    Raises:
        StorageError: it cannot be written; what was there before stays.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as error:  # torch wraps some failed writes
        raise StorageError(f"Cannot write {str(path)!r}: {why(error)}.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what processes of this machine that are no more were writing somewhere below a folder when they were killed."""
    for path in folder.rglob("*.tmp"):
        writer = re.search(r"\.(\d+)\.tmp$", path.name)
        if writer is not None and not Path(f"/proc/{writer[1]}").exists():
            with contextlib.suppress(OSError):
                path.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
