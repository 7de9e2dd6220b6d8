"""Whether a network can be trained in this machine's memory, told before any of it is used."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch

from bsd_core.errors import ConfigError
from bsd_core.models import Network, n_parameters

_BYTES: Final = 4 * 3  # a parameter, its gradient and its momentum, float32
_CONTAINER: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def check_network_fits(build: Callable[[], Network]) -> None:
    """Build a network without its numbers, and count what it would need.

    Args:
        build: makes it on the device of the context.

    Raises:
        ConfigError: more than the memory of this machine, or of the container that the process is in.
    """
    with torch.device("meta"):
        n = n_parameters(build())
    if (needed := n * _BYTES) > (memory := machine_memory()):
        raise ConfigError(
            f"The network has {n:,} parameters, whose training takes {needed / 2**30:,.1f} GiB at least, but this machine has "
            f"{memory / 2**30:,.1f} GiB of memory. Choose a smaller width, model or n_classes."
        )


def machine_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its container's where that is less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _CONTAINER:
        try:
            text = file.read_text(encoding="ascii").strip()
        except OSError:
            continue
        limits += [int(text)] if text.isdecimal() else []
    return min(limits)
