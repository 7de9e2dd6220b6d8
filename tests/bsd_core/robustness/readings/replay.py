"""A stand-in for NumPy's generator, so that a reading can be given the very random numbers of the code it checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tests._dummies import Float64


class Replay:
    """Hands out given numbers in their order, scaled as asked for.

    Args:
        uniform: in (0, 1), for `uniform` and `integers`.
        normal: standard normal, for `normal`.
    """

    def __init__(self, *, uniform: npt.ArrayLike = (), normal: npt.ArrayLike = ()) -> None:
        self._uniform = iter(np.ravel(uniform).tolist())
        self._normal = iter(np.ravel(normal).tolist())

    def uniform(self, low: float, high: float, size: Any = ()) -> Float64:
        return low + (high - low) * self._take(self._uniform, size)

    def integers(self, low: int, high: int) -> int:
        return low + int((high - low) * next(self._uniform))

    def normal(self, loc: float, scale: float, size: Any = ()) -> Float64:
        return loc + scale * self._take(self._normal, size)

    def is_used_up(self) -> bool:
        return next(self._uniform, None) is None and next(self._normal, None) is None

    @staticmethod
    def _take(numbers: Any, size: Any) -> Float64:
        return np.array([next(numbers) for _ in range(int(np.prod(size)))], np.float64).reshape(size)
