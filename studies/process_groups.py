"""Ray's servers out of reach of signals that are sent to the driver's process group."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_servers: Final[list[subprocess.Popen[bytes]]] = []  # as they began; the raylet, whose end a driver does not survive, is the last


@contextmanager
def in_groups_of_their_own() -> Iterator[None]:
    """Let a Ray that is started within run in process groups of its own.

    `timeout` and shells end whole groups. Ray's servers leave at once then, and Ray ends a driver that talks to a server which is gone, by
    exit code 1 and without a word: often before the study could say how to go on.

    Only where the kernel ends them with the driver, whatever ends that; elsewhere Ray has nothing but the group to find them by.
    """
    from ray._private import services
    from ray._private.utils import detect_fate_sharing_support

    if not detect_fate_sharing_support():
        yield
        return

    class Server(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, **settings, process_group=0)
            _servers.append(self)

    plain, services.ConsolePopen = services.ConsolePopen, Server
    try:
        yield
    finally:
        services.ConsolePopen = plain


def end_groups() -> None:
    """End those whose servers live, with all in them; to be called by a process that leaves at once.

    The kernel ends Ray's servers, but not what those have started: agents that would look for them for a minute.
    """
    for server in _servers:
        if server.poll() is None:
            with contextlib.suppress(OSError):  # it left just now
                os.killpg(server.pid, signal.SIGKILL)
