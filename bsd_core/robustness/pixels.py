"""From [0, 1] floats to grey levels."""

from __future__ import annotations

from torch import Tensor, uint8


def to_uint8(x: Tensor) -> Tensor:
    """[0, 1] floats, clipped, to grey levels by truncation, as NumPy's cast in the reference. Overwrites `x`."""
    return x.clamp_(0.0, 1.0).mul_(255.0).to(uint8)
