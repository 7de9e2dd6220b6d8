"""Counter-based random numbers: a value is a function of (key, image index, position), never of batch size, order or process.

Each value is a hash of its coordinates. The hash is integer arithmetic and the normal law is read from a table, so CPU and GPU agree bit
for bit. Two 32-bit keys an image and a hash of the position meet in one multiplication and one exclusive or; the 32-bit finaliser of
MurmurHash3 (Appleby, public domain) then spreads every bit over all others. It is for noise, not for secrets.
"""

from __future__ import annotations

import functools
from typing import Final

import torch
from torch import Tensor

from bsd_core.seeds import derive_seed

_N_QUANTILES: Final = 2**16


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical right shift of int32 (torch's is arithmetic)."""
    return (x >> bits).bitwise_and_((1 << (32 - bits)) - 1)


def _mix_(x: Tensor) -> Tensor:
    """MurmurHash3's 32-bit finaliser, a bijection of int32, in place; products wrap."""
    x.bitwise_xor_(_shift_right(x, 16))
    x.mul_(-2048144789)  # 0x85EBCA6B
    x.bitwise_xor_(_shift_right(x, 13))
    x.mul_(-1028477387)  # 0xC2B2AE35
    return x.bitwise_xor_(_shift_right(x, 16))


def _int32(value: int) -> int:
    return (value & 0xFFFFFFFF) - (1 << 32 if value & 0x80000000 else 0)


@functools.lru_cache(maxsize=16)
def normal_quantiles(device: torch.device) -> Tensor:
    """(65536,) float32: the normal law's quantiles at (k + 1/2) / 65536, scaled to a variance of exactly one."""
    quantiles: Tensor = torch.special.ndtri((torch.arange(_N_QUANTILES, dtype=torch.float64) + 0.5) / _N_QUANTILES)
    return quantiles.div_(quantiles.square().mean().sqrt()).to(torch.float32).to(device)


class RandomField:
    """The random numbers of one purpose, by image.

    Args:
        names: what they are for, e.g. (seed, "gaussian_noise", 3); equal names, equal numbers.
        indices: (N,) integers, each image's index in its data set.

    A draw of n numbers begins with the numbers of a shorter draw. `stream` separates several draws of one purpose; `bits` and `uniform`
    of one stream are the same randomness in two forms, and so are `halves` and `normal`.
    """

    def __init__(self, *names: object, indices: Tensor) -> None:
        key = derive_seed(0, *names)
        low, high = _int32(key), _int32(key >> 31)
        index = indices.to(torch.int64)
        index_low = (index & 0x7FFFFFFF).to(torch.int32)
        index_high = (index >> 31).to(torch.int32)
        # Two keys an image: with one of 32 bits, two of 10,000 images would share all their numbers in one field of a hundred.
        self._offset = _mix_(_mix_(index_low ^ low) ^ index_high)[:, None]
        self._factor = (_mix_(_mix_(index_low ^ high) + (index_high ^ 0x3C6EF372)) | 1)[:, None]  # odd, so that it is a bijection

    def bits(self, n: int, stream: int = 0) -> Tensor:
        """(N, n) int32, uniform over all 2**32 values."""
        position = _mix_(torch.arange(n, dtype=torch.int32, device=self._offset.device))
        position = _mix_(position.bitwise_xor_(_int32(stream * 0x9E3779B9)))
        return _mix_((position * self._factor).bitwise_xor_(self._offset))

    def halves(self, n: int, stream: int = 0) -> Tensor:
        """(N, n) int32, uniform over 0 to 65535: the two halves of `bits`, at half of their cost."""
        halves = self.bits((n + 1) // 2, stream).view(torch.int16).to(torch.int32)
        return halves.bitwise_and_(_N_QUANTILES - 1)[:, :n].contiguous()

    def uniform(self, n: int, stream: int = 0) -> Tensor:
        """(N, n) float32 in (0, 1): odd multiples of 2**-24, so neither end is reached."""
        return (self.bits(n, stream) >> 9).to(torch.float32).mul_(2.0**-23).add_(0.5 + 2.0**-24)

    def normal(self, n: int, stream: int = 0) -> Tensor:
        """(N, n) float32, standard normal, in 65,536 steps of equal probability.

        Mean 0 and variance 1 hold exactly and the fourth moment is 2.9992 instead of 3. A step is 0.00004 spreads wide in the middle and
        0.25 between the last two, and nothing lies further out than 4.33 spreads, where the law has 1 value in 65,000.
        """
        quantiles = normal_quantiles(self._offset.device)
        return quantiles.index_select(0, self.halves(n, stream).flatten()).view(len(self._offset), n)
