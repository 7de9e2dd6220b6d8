"""Luma; and hue, saturation and value, in batches, with the bits of scikit-image's `rgb2hsv`, a change and `hsv2rgb` in float64.

A pixel is turned to its leading channel and the two that follow it in the circle red, green, blue. Its hue is then a fraction
d = (next - previous) / (largest - smallest) in [-1, 1) about the leading colour, and of the three new channels only the middle one depends
on it. So three planes are computed in place of eighteen, and no value is looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

LUMA: Final = (0.299, 0.587, 0.114)  # of red, green and blue
_TINY = 1e-9  # below any difference of grey levels: keeps 0 / 0 of grey pixels at 0


def luma(x: Tensor) -> Tensor:
    """(N, C, H, W) floats -> (N, 1, H, W): the grey of RGB; a grey image is its own."""
    if x.shape[1] == 1:
        return x
    red, green, blue = x[:, 0:1], x[:, 1:2], x[:, 2:3]
    return (LUMA[0] * red).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def change_hsv(
    images: Tensor, *, saturation: Callable[[Tensor], Tensor] | None = None, value: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Change the saturation or the value (the largest channel) of colours, keep their hue, and truncate to grey levels.

    A grey pixel has saturation 0 and the hue of red.

    Args:
        images: (N, 3, H, W) uint8, RGB.
        saturation: maps float64 (N, H, W) saturations in [0, 1] to new ones in [0, 1]; may work in place.
        value: likewise for values.

    Returns:
        (N, 3, H, W) uint8.
    """
    red, green, blue = images.unbind(1)
    # Of two that are equally large the one leads that comes later in the circle: then d is -1, and never 1.
    green_leads = _mask((green >= red) & (green > blue))
    blue_leads = _mask((blue >= green) & (blue > red))
    red_leads = (green_leads | blue_leads).bitwise_not_()
    following = _select(green_leads, blue, _select(blue_leads, red, green))
    previous = _select(green_leads, red, _select(blue_leads, green, blue))
    rising = (following >= previous).view(torch.uint8)  # the next channel is the middle one

    high = _unit(torch.maximum(torch.maximum(red, green), blue))
    x, y = _unit(following), _unit(previous)
    delta = high - torch.minimum(x, y)
    share = delta / high.clamp(min=_TINY)  # the saturation
    turn = x.sub_(y).div_(delta.clamp_(min=_TINY))
    turn.add_((green_leads & 2).bitwise_or_(blue_leads & 4))
    turn = _divide(turn, 6.0)
    turn.sub_(turn.floor()).mul_(6.0)  # the hue in sixths of the circle
    below = turn.sub_(turn.floor()).sub_(rising).abs_()  # how far the middle channel is below the largest: 1 is at the smallest
    if saturation is not None:
        share = saturation(share)
    if value is not None:
        high = value(high)
    middle = _levels(below.mul_(share).neg_().add_(1.0).mul_(high))
    low = _levels(share.neg_().add_(1.0).mul_(high))
    top = _levels(high)

    following = _select(rising.neg_(), middle, low)
    previous = middle.bitwise_xor_(low).bitwise_xor_(following)  # the other of the two
    channels = [
        _select(red_leads, top, _select(green_leads, previous, following)),
        _select(green_leads, top, _select(blue_leads, previous, following)),
        _select(blue_leads, top, _select(red_leads, previous, following)),
    ]
    return torch.stack(channels, dim=1)


def _unit(levels: Tensor) -> Tensor:
    return _divide(levels.double(), 255.0)


def _divide(x: Tensor, by: float) -> Tensor:
    """In place. By a number, CUDA would multiply with the reciprocal, which has other bits."""
    return x.div_(torch.full((), by, dtype=x.dtype, device=x.device))


def _levels(x: Tensor) -> Tensor:
    """[0, 1] to grey levels, truncated. `x` stays."""
    return (x * 255.0).to(torch.uint8)


def _mask(condition: Tensor) -> Tensor:
    """All bits set where it holds: uint8 of 0 and 255."""
    return condition.view(torch.uint8).neg_()


def _select(mask: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """`yes` where the mask is set, else `no`; on bytes many times faster than torch.where on a CPU."""
    return yes.bitwise_xor(no).bitwise_and_(mask).bitwise_xor_(no)
