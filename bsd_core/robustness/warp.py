"""Images moved by maps that differ from image to image: bilinear sampling at given positions, and random affine maps."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import grid_sample


def sample_bilinear(images: Tensor, x: Tensor, y: Tensor, *, border: Literal["reflect", "mirror"]) -> Tensor:
    """The images at other positions, a bilinear mean of four pixels each.

    Args:
        images: (N, C, H, W) floats.
        x: (N, H', W') columns in pixels, of the type of `images`; the centre of the first pixel is 0.
        y: (N, H', W') rows.
        border: what lies outside, as SciPy names it: "reflect" about the edge (b a | a b c), "mirror" about the last pixel (c b | a b c).

    Returns:
        (N, C, H', W'). Areas of one value keep it up to the last bits.
    """
    height, width = images.shape[2:]
    about_edges = border == "reflect"
    positions = torch.empty((*x.shape, 2), dtype=images.dtype, device=images.device)
    for along, position, size in ((0, x, width), (1, y, height)):
        if about_edges:  # from -1 at the outer edge of the first pixel to 1 at that of the last
            torch.mul(position, 2 / size, out=positions[..., along]).add_(1 / size - 1)
        else:  # from -1 at the centre of the first pixel to 1 at that of the last
            torch.mul(position, 2 / max(size - 1, 1), out=positions[..., along]).sub_(1)
    return grid_sample(images, positions, mode="bilinear", padding_mode="reflection", align_corners=not about_edges)


def affine_between(source: Tensor, target: Tensor) -> Tensor:
    """The affine maps that take three points to three others.

    Args:
        source: (N, 3, 2) points (x, y), not in line.
        target: (N, 3, 2).

    Returns:
        (N, 2, 3): target = map[:, :, :2] @ source + map[:, :, 2].
    """
    # Two edges from the first point; a 2 x 2 system by Cramer's rule needs no solver, and gives the same bits in any batch.
    (ax, ay), (bx, by) = ((source[:, k] - source[:, 0]).unbind(1) for k in (1, 2))
    to_a, to_b = target[:, 1] - target[:, 0], target[:, 2] - target[:, 0]
    determinant = ax * by - ay * bx
    column_x = (to_a * by[:, None] - to_b * ay[:, None]) / determinant[:, None]
    column_y = (to_b * ax[:, None] - to_a * bx[:, None]) / determinant[:, None]
    shift = target[:, 0] - column_x * source[:, 0, :1] - column_y * source[:, 0, 1:]
    return torch.stack([column_x, column_y, shift], dim=2)
