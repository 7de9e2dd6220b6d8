"""A watch over this process: which files it opens to write, and what it starts, while something untrusted is read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree", "shutil.move"}
_STARTS = {
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "subprocess.Popen",
    "socket.connect",
    "socket.bind",
}
_reports: list[list[str]] = []  # an audit hook cannot be taken off, but it can be idle
_hooked: list[bool] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _reports:
        return
    if event == "open":
        path, mode, flags = arguments
        writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        own = isinstance(path, str | bytes) and (os.fsdecode(path).endswith((".pyc", os.devnull)) or "__pycache__" in os.fsdecode(path))
        nameless = isinstance(path, int) or os.path.isdir(path)  # open already, or a file in this folder that has no name
        if writes and not own and not nameless:
            _reports[-1].append(f"open {path!r}")
    elif event in ("os.remove", "os.rmdir") and arguments[1] >= 0:  # relative to an open folder
        _reports[-1].append(f"{event} {os.readlink(f'/proc/self/fd/{arguments[1]}')}/{os.fsdecode(arguments[0])}")
    elif event in _CHANGES or event in _STARTS:
        _reports[-1].append(f"{event} {arguments!r}"[:200])


@contextmanager
def watched() -> Iterator[list[str]]:
    """What was written or started within the context, one line each; Python's own caches of modules are left out."""
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked.append(True)
    report: list[str] = []
    _reports.append(report)
    try:
        yield report
    finally:
        _reports.pop()


def files_in(*folders: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file, folder and link below some folders."""
    found = {}
    for folder in folders:
        for path in [folder, *folder.rglob("*")]:
            state = path.lstat()
            found[str(path)] = (state.st_size, state.st_mtime_ns)
    return found
