"""Water on a lens, from where it is wet: edges, the distance to them, equalised and embossed.

The layers of a batch stand last, (H, W, N), so that every neighbour is a slice and the innermost axis is long. All steps but the random
layer are integers or exact in float32, so they are the same on every device and in every batch.

Source: the water of `spatter` in Hendrycks & Dietterich, ICLR 2019, which calls OpenCV's Canny, distanceTransform (DIST_L2, mask 5),
equalizeHist and filter2D. Written from their definitions; equal to OpenCV 4.14 to the last bit (where that uses IPP, its distances differ
in the fifth decimal).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

_EDGE_LOW: Final = 50
_EDGE_HIGH: Final = 150
_TAN_22_5: Final = 13573  # tan(22.5 degrees) in units of 2**-15; tan(67.5 degrees) is 2 more
# Steps of the 5 x 5 chamfer, in units of 2**-16: along an axis 1, along a diagonal 1.4, a knight's move 2.1969.
_DIAGONAL: Final = 91750 / 65536
_KNIGHT: Final = 143976 / 65536
_FARTHEST: Final = 20.0  # pixels; larger distances count as this
_EMBOSS: Final = ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))


def water_mask(layer: Tensor) -> Tensor:
    """How much light each pixel's water adds, in [0, 1].

    Args:
        layer: (H, W, N) grey levels 0 to 255, any integer type; 0 is dry.

    Returns:
        (H, W, N) float32, the largest of each layer is 1; a layer without a wet pixel is 0 everywhere.
    """
    layer = layer.to(torch.int16)
    distance = edge_distance(canny_edges(layer)).clamp_(max=_FARTHEST)
    # Sums are multiples of 2**-16, so the small number only decides that nine times a whole number is a whole number on every device.
    mean = _box_sum(distance).double().add_(1e-6).mul_(1 / 9)
    relief = emboss(equalise(mean.to(torch.uint8)))
    smooth = (_box_sum(relief.float()) / 9).round_()
    mask = smooth * layer
    return mask / mask.amax((0, 1)).clamp_min_(1.0)


def canny_edges(layer: Tensor) -> Tensor:
    """Canny's edges with thresholds 50 and 150.

    Gradients by 3 x 3 Sobel filters with the border replicated, magnitude |gx| + |gy|, thinned along the gradient (to one of four
    directions); an edge begins above 150 and continues over its 8 neighbours while above 50.

    Args:
        layer: (H, W, N) int16 grey levels.

    Returns:
        (H, W, N) bool.
    """
    height, width, _ = layer.shape
    x = _pad(layer, replicate=True)
    vertical_sum = x[:-2] + 2 * x[1:-1] + x[2:]
    horizontal_sum = x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]
    gx = vertical_sum[:, 2:] - vertical_sum[:, :-2]
    gy = horizontal_sum[2:] - horizontal_sum[:-2]

    across, along = gx.abs(), gy.abs()
    magnitude = _pad(across + along, replicate=False)

    def neighbour(dy: int, dx: int) -> Tensor:
        return magnitude[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]

    here = neighbour(0, 0)
    across, along = across.to(torch.int32), along.to(torch.int32) << 15
    flat, steep = across * _TAN_22_5 > along, across * (_TAN_22_5 + (2 << 15)) < along
    # Of two equal neighbours along an axis the first is kept; on a diagonal neither is.
    peak = torch.where(
        flat,
        (here > neighbour(0, -1)) & (here >= neighbour(0, 1)),
        torch.where(
            steep,
            (here > neighbour(-1, 0)) & (here >= neighbour(1, 0)),
            torch.where(
                (gx ^ gy) < 0,
                (here > neighbour(-1, 1)) & (here > neighbour(1, -1)),
                (here > neighbour(-1, -1)) & (here > neighbour(1, 1)),
            ),
        ),
    )
    return _grow(peak & (here > _EDGE_HIGH), peak & (here > _EDGE_LOW))


def _grow(seeds: Tensor, allowed: Tensor) -> Tensor:
    """`seeds` and all of `allowed` that is connected to them over 8 neighbours: (H, W, N) bools."""
    grown = seeds
    while True:
        x = _pad(grown, replicate=False)
        x = x[:-2] | x[1:-1] | x[2:]
        wider = (x[:, :-2] | x[:, 1:-1] | x[:, 2:]) & allowed
        if torch.equal(wider, grown):
            return grown
        grown = wider


def edge_distance(edges: Tensor) -> Tensor:
    """Chamfer distance in pixels from each pixel to the nearest edge: (H, W, N) bool -> float32, at least 20 where none is near.

    Two passes, row by row, down and up: a pixel is reached from the two rows before it, and along its own row.
    """
    height, width, n = edges.shape
    # A margin of two pixels that are far from everything.
    distance = torch.full((height + 4, width + 4, n), 2 * _FARTHEST, device=edges.device)
    distance[2:-2, 2:-2].masked_fill_(edges, 0.0)
    for direction in (1, -1):
        for y in range(2, height + 2)[::direction]:
            near, far = distance[y - direction], distance[y - 2 * direction]
            row = distance[y, 2:-2]
            diagonals = torch.minimum(near[1:-3], near[3:-1])
            knights = torch.minimum(torch.minimum(near[:-4], near[4:]), torch.minimum(far[1:-3], far[3:-1]))
            torch.minimum(row, near[2:-2] + 1.0, out=row)
            torch.minimum(row, diagonals.add_(_DIAGONAL), out=row)
            torch.minimum(row, knights.add_(_KNIGHT), out=row)
            _spread_along(row, direction)
    return distance[2:-2, 2:-2]


def _spread_along(row: Tensor, direction: int) -> None:
    """row[x] becomes the smallest of row[x - k * direction] + k, by doubling k up to the farthest distance: (W, N), in place."""
    step = 1
    while step < min(len(row), int(_FARTHEST) + 1):
        to, source = (row[step:], row[:-step]) if direction > 0 else (row[:-step], row[step:])
        torch.minimum(to, source + step, out=to)
        step *= 2


def equalise(values: Tensor) -> Tensor:
    """Histogram equalisation of each image: the lowest level present becomes 0, the highest 255; a constant image stays as it is.

    Args:
        values: (H, W, N) uint8.

    Returns:
        (H, W, N) uint8, the share of pixels at most this bright but above the lowest level, times 255, rounded.
    """
    n = values.shape[2]
    image = torch.arange(n, dtype=torch.int32, device=values.device) * 256
    bins = (values + image).flatten()
    counts = torch.bincount(bins, minlength=256 * n).reshape(n, 256)
    total = values.shape[0] * values.shape[1]
    below = counts.cumsum(1)
    lowest = torch.where(below > 0, below, total).amin(1, keepdim=True)  # how many pixels have the lowest level
    # Not 255 / x, for which torch multiplies by the reciprocal and the last bit can differ.
    others = (total - lowest).clamp_min(1).float()
    scale = torch.full_like(others, 255.0) / others
    table = ((below - lowest).clamp_min(0).float() * scale).round().to(torch.uint8)
    table = torch.where(lowest == total, torch.arange(256, dtype=torch.uint8, device=values.device), table)
    return table.flatten().index_select(0, bins).view_as(values)


def emboss(values: Tensor) -> Tensor:
    """Light from one corner: the kernel ((-2, -1, 0), (-1, 1, 1), (0, 1, 2)), border reflected, cut to 8 bit: (H, W, N) uint8."""
    height, width, _ = values.shape
    x = _mirror(values.to(torch.int16))
    out = torch.zeros(values.shape, dtype=torch.int16, device=values.device)
    for dy, weights in enumerate(_EMBOSS):
        for dx, weight in enumerate(weights):
            if weight:
                out.add_(x[dy : dy + height, dx : dx + width], alpha=weight)
    return out.clamp_(0, 255).to(torch.uint8)


def _box_sum(x: Tensor) -> Tensor:
    """The sum over 3 x 3 pixels, border reflected: (H, W, N) -> (H, W, N)."""
    x = _mirror(x)
    x = x[:-2] + x[1:-1] + x[2:]
    return x[:, :-2] + x[:, 1:-1] + x[:, 2:]


def _pad(x: Tensor, *, replicate: bool) -> Tensor:
    """One more pixel on each side, the edge's copy or 0: (H, W, N) -> (H + 2, W + 2, N)."""
    height, width, n = x.shape
    out = x.new_zeros(height + 2, width + 2, n)
    out[1:-1, 1:-1] = x
    if replicate:
        out[0], out[-1] = out[1], out[-2]
        out[:, 0], out[:, -1] = out[:, 1], out[:, -2]
    return out


def _mirror(x: Tensor) -> Tensor:
    """One more pixel on each side, reflected about the edge pixel (b | a b c | b): (H, W, N) -> (H + 2, W + 2, N)."""
    out = _pad(x, replicate=False)
    second, last_but_one = min(2, x.shape[0]), max(-3, -x.shape[0] - 1)
    out[0], out[-1] = out[second], out[last_but_one]
    second, last_but_one = min(2, x.shape[1]), max(-3, -x.shape[1] - 1)
    out[:, 0], out[:, -1] = out[:, second], out[:, last_but_one]
    return out
