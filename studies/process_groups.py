"""Ray's servers out of reach of signals that are sent to the driver's process group."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager


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
    plain = services.ConsolePopen
    services.ConsolePopen = functools.partial(plain, process_group=0)
    try:
        yield
    finally:
        services.ConsolePopen = plain
