"""Sessions of processes, in the sense of setsid: who is in one, and the end of all of them. Linux only, as Ray's clusters are."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path


def members(*sessions: int) -> list[int]:
    """Ids of the living processes in any of these sessions."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # What follows the name, which may hold anything: state, parent, group, session.
                state, _, _, session, *_ = Path(entry.path, "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                if int(session) in sessions and state not in "ZX":
                    found.append(int(entry.name))
    return found


def command_line(pid: int) -> str:
    """Of a process, its parts divided by NUL; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def kill_sessions(sessions: Iterable[int]) -> None:
    """End all their processes by SIGKILL; returns when none is left."""
    chosen = tuple(sessions)
    while living := members(*chosen):
        for pid in living:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
