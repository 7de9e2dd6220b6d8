"""Counter-based random numbers: a value is a function of (key, image index, position), never of batch size, order or process.

Each value is a hash of its coordinates; integer arithmetic is the same on every device, so only the last bits of logarithms and
cosines can differ between CPU and GPU. The hash is the 32-bit finaliser of MurmurHash3 (Appleby, public domain) applied twice, keyed in
between; it is for noise, not for secrets.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bsd_core.seeds import derive_seed


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical right shift of int32 (torch's is arithmetic)."""
    return (x >> bits).bitwise_and_((1 << (32 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    """MurmurHash3's 32-bit finaliser, a bijection of int32; products wrap."""
    x = x ^ _shift_right(x, 16)
    x.mul_(-2048144789)  # 0x85EBCA6B
    x.bitwise_xor_(_shift_right(x, 13))
    x.mul_(-1028477387)  # 0xC2B2AE35
    return x.bitwise_xor_(_shift_right(x, 16))


def _int32(value: int) -> int:
    return (value & 0xFFFFFFFF) - (1 << 32 if value & 0x80000000 else 0)


class RandomField:
    """The random numbers of one purpose, by image.

    Args:
        names: what they are for, e.g. (seed, "gaussian_noise", 3); equal names, equal numbers.
        indices: (N,) int64, each image's index in its data set.
    """

    def __init__(self, *names: object, indices: Tensor) -> None:
        key = derive_seed(0, *names)
        low, high = _int32(key), _int32(key >> 31)
        index = indices.to(torch.int64)
        # Two keys an image, so that neither the index alone nor the position alone decides a value.
        index_low = (index & 0x7FFFFFFF).to(torch.int32)
        index_high = (index >> 31).to(torch.int32)
        self._first = _mix(_mix(index_low ^ low) ^ index_high)
        self._second = _mix(_mix(index_low ^ high) + 0x3C6EF372)

    def bits(self, n: int, stream: int = 0) -> Tensor:
        """(N, n) int32, uniform over all 2**32 values; `stream` separates several draws of one purpose."""
        counter = torch.arange(n, dtype=torch.int32, device=self._first.device) + _int32(stream * 0x9E3779B9)
        return _mix(_mix(counter ^ self._first[:, None]) ^ self._second[:, None])

    def uniform(self, n: int, stream: int = 0) -> Tensor:
        """(N, n) float32 in (0, 1): odd multiples of 2**-24, so neither end is reached."""
        return (_shift_right(self.bits(n, stream), 9).to(torch.float32) + 0.5) * 2.0**-23

    def normal(self, n: int, stream: int = 0) -> Tensor:
        """(N, n) float32, standard normal (Box-Muller; both of its outputs are used; at most 5.8 spreads out)."""
        half = (n + 1) // 2
        uniform = self.uniform(2 * half, stream)
        radius = uniform[:, :half].log().mul_(-2.0).sqrt_()
        angle = uniform[:, half:].mul(2 * math.pi)
        return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :n]
