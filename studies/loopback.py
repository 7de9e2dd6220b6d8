"""Ray's servers on the loopback interface alone; `python -m studies.loopback start ...` is `ray start ...` with that."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

LOOPBACK: Final = "127.0.0.1"


def is_loopback(host: str) -> bool:
    """Whether `host` means this machine alone, in the spellings that Ray knows."""
    return host in {LOOPBACK, "localhost", "::1", "[::1]"}


@contextmanager
def on_loopback() -> Iterator[None]:
    """Let a Ray that is started or joined at 127.0.0.1 stay there.

    Ray's processes listen on loopback alone if their node's address is 127.0.0.1, and on all interfaces otherwise. Asked for that address,
    Ray takes the machine's outer one instead, so that other machines could join; it has no setting against that on Linux.
    """
    from ray._private import services

    outer = services.get_node_ip_address
    services.get_node_ip_address = lambda address=None: LOOPBACK
    try:
        yield
    finally:
        services.get_node_ip_address = outer


if __name__ == "__main__":
    from ray.scripts.scripts import main

    sys.argv[0] = "ray"
    with on_loopback():
        main()
