"""One root seed; every purpose derives its own stream by name.

A stream's seed depends on the root and the names alone, never on the order of calls or on which process asks, so adding a new
source of randomness leaves all others as they were.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def derive_seed(root: int, *names: object) -> int:
    """A seed in [0, 2**63) for the purpose `names` under `root`.

    Names are joined by their text form: derive_seed(1, "bsd/none", 3) and derive_seed(1, "bsd/none", "3") are one stream.
    """
    text = "\x1f".join([str(root), *map(str, names)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def numpy_stream(root: int, *names: object) -> np.random.Generator:
    """A NumPy generator for the purpose `names` under `root`."""
    return np.random.default_rng(derive_seed(root, *names))


def torch_stream(root: int, *names: object, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator on `device` for the purpose `names` under `root`."""
    return torch.Generator(device=device).manual_seed(derive_seed(root, *names))
