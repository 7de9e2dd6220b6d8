"""Where the random numbers of a sequence come from."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from bsd_core.robustness.random_fields import RandomField


@dataclass(frozen=True)
class Keys:
    """The names of a sequence's random numbers and the images they are for."""

    names: tuple[object, ...]
    indices: Tensor  # (N,) integers

    def field(self, *more: object) -> RandomField:
        """The numbers of one purpose within the sequence, such as a frame."""
        return RandomField(*self.names, *more, indices=self.indices)
