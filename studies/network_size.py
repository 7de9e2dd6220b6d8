"""Whether a network can be trained in this machine's memory, told before any of it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch

from bsd_core.errors import ConfigError
from bsd_core.models import Network, n_parameters
from studies.memory import machine_memory

_BYTES: Final = 4 * 3  # a parameter, its gradient and its momentum, float32


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
