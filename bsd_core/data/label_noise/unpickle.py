"""Integer arrays from a file of torch.save, without NumPy's own unpickling.

`torch.load(weights_only=True)` calls nothing but what it is told. NumPy's names must not be told as they are: `numpy.ndarray` called with a
buffer of objects turns the file's bytes into pointers. So the few names that a pickled array uses stand for small classes of ours,
which accept integers of known size and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

_INTEGERS: Final = frozenset({"i1", "i2", "i4", "i8", "u1", "u2", "u4"})


class _DType:
    """Stands for `numpy.dtype`: dtype("i8", False, True), then a state with the byte order."""

    def __init__(self, code: str, *flags: object) -> None:
        if code not in _INTEGERS:
            raise ValueError(f"{code!r} is no integer type")
        self.dtype = np.dtype(code).newbyteorder("<")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", "|"):
            raise ValueError("integers are not little-endian")


class _Array:
    """Stands for `numpy.ndarray`: empty, then a state (version, shape, dtype, is_fortran, bytes)."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, is_fortran, raw = state
        if not isinstance(dtype, _DType) or not isinstance(raw, bytes):
            raise ValueError("not an array of integers")
        self.values: npt.NDArray[Any] = np.frombuffer(raw, dtype.dtype).reshape(shape, order="F" if is_fortran else "C")


def _reconstruct(subtype: object, shape: object, code: object) -> _Array:
    return _Array()


def _scalar(dtype: _DType, raw: bytes) -> int:
    return int(np.frombuffer(raw, dtype.dtype)[0])


# NumPy 2 renamed `numpy.core` to `numpy._core`; files of both kinds are about.
_STAND_INS: Final[list[Any]] = [
    (_Array, "numpy.ndarray"),
    (_DType, "numpy.dtype"),
    *[(_reconstruct, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")],
    *[(_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")],
]


def read_integer_arrays(path: Path) -> Mapping[str, Any]:
    """A dictionary that torch.save wrote, its NumPy arrays of integers as arrays and all else as torch reads it.

    Raises:
        Exception: whatever torch raises on a damaged file or one that holds anything else; nothing in the file has been executed.
        TypeError: no dictionary.
    """
    with torch.serialization.safe_globals(_STAND_INS):
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise TypeError(f"expected a dictionary, but it holds a {type(content).__name__}")
    return {str(name): value.values if isinstance(value, _Array) else value for name, value in content.items()}
