"""Colours as hue, saturation and value, in batches; operation by operation as scikit-image, so float64 results have the same bits."""

from __future__ import annotations

import torch
from torch import Tensor


def rgb_to_hsv(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N, 3, H, W) float64 in [0, 1] -> hue, saturation, value, each (N, H, W)."""
    red, green, blue = x.unbind(1)
    value = x.amax(1)
    delta = value - x.amin(1)
    grey = delta == 0
    saturation = torch.where(grey, 0.0, delta / value)
    # Where several channels are the largest, the last rule wins.
    hue = torch.where(red == value, (green - blue) / delta, 0.0)
    hue = torch.where(green == value, 2.0 + (blue - red) / delta, hue)
    hue = torch.where(blue == value, 4.0 + (red - green) / delta, hue)
    hue = torch.where(grey, 0.0, torch.remainder(hue / 6.0, 1.0))
    return hue, saturation, value


def hsv_to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """The inverse of `rgb_to_hsv`: (N, 3, H, W)."""
    sector = torch.floor(hue * 6.0)
    fraction = hue * 6.0 - sector
    low = value * (1.0 - saturation)
    falling = value * (1.0 - fraction * saturation)
    rising = value * (1.0 - (1.0 - fraction) * saturation)
    choices = torch.stack(
        [
            torch.stack([value, falling, low, low, rising, value], dim=1),
            torch.stack([rising, value, value, falling, low, low], dim=1),
            torch.stack([low, low, rising, value, value, falling], dim=1),
        ],
        dim=1,
    )  # (N, 3, 6, H, W)
    which = (sector.to(torch.int64) % 6)[:, None, None].expand(-1, 3, 1, -1, -1)
    return choices.gather(2, which)[:, :, 0]
