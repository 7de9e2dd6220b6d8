"""Processes of a running study, found through /proc: which ones train, so that a test can do to them what happens to processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")


def command_line(pid: int) -> str:
    """Of a process; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def parents() -> dict[int, int]:
    """The parent of every process that there is, zombies left out."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            found[int(folder.name)] = int(parent)
    return found


def descendants(pid: int) -> list[int]:
    """Children of a process, and theirs."""
    parent_of = parents()
    found: list[int] = []
    for candidate in parent_of:
        ancestor: int | None = candidate
        while (ancestor := parent_of.get(ancestor or 0)) is not None:
            if ancestor == pid:
                found.append(candidate)
                break
    return found


def training(pid: int) -> list[int]:
    """Processes of the trials that the Ray of driver `pid` has, busy ones and idle ones; Ray names them after what they run."""
    return [child for child in descendants(pid) if command_line(child).startswith("ray::")]


def wait_for(found: Callable[[], Found], *, seconds: float = 60, what: str = "it") -> Found:
    """What `found` gives once that is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds:g} s for {what}")


def alive(pids: Iterable[int]) -> list[int]:
    """Those that still run."""
    there = parents()
    return [pid for pid in pids if pid in there]
