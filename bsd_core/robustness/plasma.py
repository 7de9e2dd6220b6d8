"""Plasma fractals by the diamond-square algorithm, one an image, in batches: the clouds of fog.

Source: Fournier, Fussell & Carpenter, CACM 1982; the variant of Hendrycks & Dietterich, ICLR 2019, on a torus. A grid of corners is
refined until it has the side wanted: each step of size s adds the centres of its squares, then the centres of the edges (the diamonds),
each the mean of its four neighbours plus a wobble.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from bsd_core.robustness.random_fields import RandomField

_FIRST_WIDTH: Final = 100.0


def plasma_side(height: int, width: int) -> int:
    """The power of two, at least 2, whose square holds an image of height x width pixels."""
    return max(2, 1 << (max(height, width) - 1).bit_length())


def plasma_fractal(field: RandomField, side: int, decay: float) -> Tensor:
    """A fractal for each image, between 0 and 1, which both occur.

    A wobble is uniform in (-w**2, w**2), where w is 100 at first and is divided by `decay` after every step: the larger `decay`, the
    smoother the clouds. Opposite borders fit together.

    Args:
        field: of the images; side**2 - 1 of its random bits are used.
        side: of the fractal in pixels, a power of two, at least 2.
        decay: greater than 0; 2 halves w at every step.

    Returns:
        (N, side, side) float32.
    """
    # Integers of either sign: uniform in (-1, 1) but for a factor.
    wobbles = field.bits(side * side - 1).to(torch.float32)
    grid = wobbles.new_zeros(len(wobbles), 1, 1)
    width, used = _FIRST_WIDTH, 0
    while (n := grid.shape[1]) < side:
        scale = width**2 / 2**31
        centre, top, left = wobbles[:, used : used + 3 * n * n].mul_(scale).view(-1, 3, n, n).unbind(1)
        used += 3 * n * n
        across, down = grid + grid.roll(-1, 2), grid + grid.roll(-1, 1)  # a corner with its right and with its lower neighbour
        centre.add_(across, alpha=0.25).add_(across.roll(-1, 1), alpha=0.25)
        top.add_(across, alpha=0.25).add_(centre, alpha=0.25).add_(centre.roll(1, 1), alpha=0.25)
        left.add_(down, alpha=0.25).add_(centre, alpha=0.25).add_(centre.roll(1, 2), alpha=0.25)
        # Corner and top edge in the even rows, left edge and centre in the odd ones.
        pairs = torch.stack([torch.stack([grid, top], dim=3), torch.stack([left, centre], dim=3)], dim=2)
        grid = pairs.view(-1, 2 * n, 2 * n)
        width /= decay
    low, high = grid.amin((1, 2), keepdim=True), grid.amax((1, 2), keepdim=True)
    return grid.sub_(low).div_(high - low)
