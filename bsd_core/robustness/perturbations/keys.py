"""What sequences share: where their random numbers come from, and how long most of them are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from torch import Tensor

from bsd_core.robustness.random_fields import RandomField

N_FRAMES: Final = 31


@dataclass(frozen=True)
class Keys:
    """The names of a sequence's random numbers and the images they are for."""

    names: tuple[object, ...]
    indices: Tensor  # (N,) integers

    def field(self, *more: object) -> RandomField:
        """The numbers of one purpose within the sequence, such as a frame."""
        return RandomField(*self.names, *more, indices=self.indices)
