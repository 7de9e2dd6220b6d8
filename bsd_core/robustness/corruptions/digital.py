"""Corruptions of colour, contrast, resolution and shape."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from bsd_core.robustness.colour import change_hsv
from bsd_core.robustness.jpeg import jpeg_round_trip
from bsd_core.robustness.pixels import to_uint8
from bsd_core.robustness.random_fields import RandomField
from bsd_core.robustness.separable import apply_separable, box_resize_matrix, gaussian_blur_matrix
from bsd_core.robustness.warp import affine_between, sample_bilinear

_LAST_BITS: Final = 2**-10  # grey levels


def brightness(images: Tensor, amount: float, field: RandomField) -> Tensor:
    """V + amount in HSV; of a grey image, the pixel + amount."""
    if images.shape[1] == 1:
        return to_uint8((images.double() / 255.0).add_(amount))
    return change_hsv(images, value=lambda value: value.add_(amount).clamp_(0.0, 1.0))


def saturate(images: Tensor, amounts: tuple[float, float], field: RandomField) -> Tensor:
    """S * scale + shift in HSV, clipped. A shift reddens grey pixels of colour images, as in the reference; images of one channel stay."""
    scale, shift = amounts
    if images.shape[1] == 1:
        return images.clone()
    return change_hsv(images, saturation=lambda saturation: saturation.mul_(scale).add_(shift).clamp_(0.0, 1.0))


def contrast(images: Tensor, amount: float, field: RandomField) -> Tensor:
    """(x - mean) * amount + mean, with the mean of each channel."""
    x = images.double() / 255.0
    # A running sum in pixel order: the order in which NumPy's mean over two leading axes adds, to the last bit.
    mean = x.flatten(2).cumsum(2)[:, :, -1:, None] / x[0, 0].numel()
    return to_uint8(x.sub_(mean).mul_(amount).add_(mean))


def pixelate(images: Tensor, amount: float, field: RandomField) -> Tensor:
    """To the share `amount` of the side and back, bit for bit as Pillow's BOX filter, which narrows images first.

    Images more than about twice as tall as wide Pillow 13 lowers first, which may differ by 1 grey level.
    """
    height, width = images.shape[2:]
    small_height, small_width = max(1, int(height * amount)), max(1, int(width * amount))
    x = _box_means(images.float(), small_width)
    x = _box_means(x.mT, small_height).mT.to(torch.uint8)
    return _repeat(_repeat(x, 2, height), 3, width)


def _box_means(x: Tensor, size: int) -> Tensor:
    """Shrink the last side, (..., W) -> (..., size), by means of whole pixels, rounded to grey levels as Pillow's fixed point does."""
    matrix = torch.from_numpy(box_resize_matrix(x.shape[-1], size))
    # Sums of grey levels are exact in float32, and so is their rounding for means of up to 160 pixels.
    sums = x @ (matrix > 0).to(x).T
    return sums.mul_((matrix.amax(1) * 2**-22).to(x)).add_(0.5).floor_().clamp_(max=255.0)


def _repeat(x: Tensor, dim: int, size: int) -> Tensor:
    """Enlarge a side: each new pixel shows one old pixel."""
    source = torch.from_numpy(box_resize_matrix(x.shape[dim], size)).argmax(1)
    return x.index_select(dim, source.to(x.device))


def jpeg_compression(images: Tensor, quality: int, field: RandomField) -> Tensor:
    """A JPEG round trip at a quality of 1 to 100, as Pillow's."""
    return jpeg_round_trip(images, quality)


def elastic_transform(images: Tensor, parameter: tuple[float, float, float], field: RandomField) -> Tensor:
    """A random affine map, then each pixel from a little elsewhere: two bilinear samplings, cut off to grey levels.

    Three points, the centre and two at a third of the side, move by up to `affine` along each axis; the border is mirrored about the last
    pixel. Then uniform noise in (-1, 1), blurred by `sigma` and scaled by `alpha`, is each pixel's displacement; the border is reflected
    about the edge. OpenCV rounds the positions of the affine map to 1/32 pixel; we do not.

    Args:
        images: (N, C, H, W) uint8.
        parameter: alpha, sigma and affine as shares of the shorter side.
        field: of the images.
    """
    n, _, height, width = images.shape
    alpha, sigma, affine = (share * min(height, width) for share in parameter)
    rows = torch.arange(height, dtype=torch.float32, device=images.device)[:, None]
    columns = torch.arange(width, dtype=torch.float32, device=images.device)
    x = images.float()
    reach = min(height, width) // 3
    if reach > 0:  # else the points are one
        offsets = torch.tensor([[1, 1], [1, -1], [-1, -1]], device=images.device) * reach
        points = offsets + torch.tensor([width // 2, height // 2], device=images.device)
        moved = points + (2 * affine) * (field.uniform(6).view(n, 3, 2) - 0.5)
        back = affine_between(moved, points.expand(n, 3, 2).to(moved))[..., None, None]  # (N, 2, 3, 1, 1)
        from_x, from_y = ((back[:, k, 0] * columns).add(back[:, k, 1] * rows + back[:, k, 2]) for k in (0, 1))
        x = sample_bilinear(x, from_x, from_y, border="mirror")
    if alpha > 0 and sigma > 0:
        noise = field.uniform(2 * height * width, stream=1).view(n, 2, height, width).sub_(0.5)
        blurs = (gaussian_blur_matrix(size, sigma, truncate=3.0, border="reflect") for size in (height, width))
        displacement = apply_separable(noise, *blurs).mul_(2 * alpha)
        x = sample_bilinear(x, displacement[:, 0] + columns, displacement[:, 1] + rows, border="reflect")
    # The last bits of a mean of equal pixels shall not lose them a grey level.
    return x.add_(_LAST_BITS).clamp_(0.0, 255.0).to(torch.uint8)
