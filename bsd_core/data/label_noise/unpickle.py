"""Integer arrays from a file of torch.save, without NumPy's own unpickling.

`torch.load(weights_only=True)` calls nothing but what it is told. NumPy's names must not be told as they are: `numpy.ndarray` called with a
buffer of objects turns the file's bytes into pointers. So the few names that a pickled array uses stand for small classes of ours, which
keep what the file says. Only integers of known size are ever made into an array, and only when they are asked for.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from bsd_core.archive import CompressedError, check_not_compressed
from bsd_core.data.label_noise.stored import StoredArray
from bsd_core.errors import shown

_INTEGER: Final = re.compile(r"[iu][1248]")
_NUMBER: Final = re.compile(r"[iu][1248]|f[248]|b1")
_INTEGER_TENSOR: Final = re.compile(r"torch\.u?int(8|16|32|64)")


class _DType:
    """Stands for `numpy.dtype`: dtype("i8", False, True), then a state with the byte order."""

    def __init__(self, code: str, *flags: object) -> None:
        self.code = code
        self.byte_order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.byte_order = state[1]

    @property
    def is_integer(self) -> bool:
        return _INTEGER.fullmatch(self.code) is not None and self.byte_order in ("<", ">", "|")

    @property
    def name(self) -> str:
        return np.dtype(self.code).name if _NUMBER.fullmatch(self.code) else self.code

    def values(self, raw: object) -> npt.NDArray[Any]:
        if not self.is_integer or not isinstance(raw, bytes):
            raise ValueError("an array of integers without its bytes")
        return np.frombuffer(raw, np.dtype(f"{self.byte_order}{self.code}"))


class _Array:
    """Stands for `numpy.ndarray`: empty, then a state (version, shape, dtype, is_fortran, bytes)."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, self.is_fortran, self.raw = state
        if not isinstance(self.dtype, _DType) or not isinstance(self.shape, tuple):
            raise ValueError("an array without a shape and a type")

    def values(self) -> npt.NDArray[Any]:
        dtype: _DType = self.dtype
        return dtype.values(self.raw).reshape(self.shape, order="F" if self.is_fortran else "C")


def _reconstruct(subtype: object, shape: object, code: object) -> _Array:
    return _Array()


def _scalar(dtype: _DType, raw: object = None) -> object:
    return int(dtype.values(raw)[0]) if dtype.is_integer else raw


def _no_bytes() -> bytes:
    """Stands for `bytes`, by which an empty array's are written; called with a number it would make so many."""
    return b""


# NumPy 2 renamed `numpy.core` to `numpy._core`; files of both kinds are about.
_STAND_INS: Final[list[Any]] = [
    (_Array, "numpy.ndarray"),
    (_DType, "numpy.dtype"),
    (_no_bytes, "builtins.bytes"),
    *[(_reconstruct, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")],
    *[(_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")],
]


def torch_arrays(path: Path) -> dict[str, Any]:
    """A dictionary that torch.save wrote: arrays and tensors of any type as `StoredArray`, all else as torch reads it.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, no dictionary, or holds something that is no data; nothing in it has been executed.
    """
    try:
        check_not_compressed(path)
        # torch warns of pickle protocols that it knows in part; what it does not know, it refuses.
        with warnings.catch_warnings(), torch.serialization.safe_globals(_STAND_INS):
            warnings.simplefilter("ignore")
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, CompressedError):
        raise
    except Exception as error:  # torch raises whatever a foreign file makes it stumble over
        raise ValueError(_reason(str(error))) from error
    if not isinstance(content, dict):
        raise ValueError(f"expected a dictionary of arrays, but it holds a {type(content).__name__}")
    return {str(name): _stored(value) for name, value in content.items()}


def _reason(error: str) -> str:
    """Not torch's own words: they advise to read the file in a way that would execute what is in it."""
    if named := re.search(r"GLOBAL (\S+)", error):
        return f"it asks for {shown(named[1])}, which arrays of integers do not need"
    if "Unsupported operand" in error:
        return "it is in another pickle protocol than torch.save's own (2); write it with torch.save(content, path)"
    return "damaged, or not written by torch.save"


def _stored(value: Any) -> Any:
    if isinstance(value, _Array):
        return StoredArray(value.dtype.name, value.dtype.is_integer, value.shape, value.values)
    if isinstance(value, torch.Tensor):
        is_integer = value.layout == torch.strided and _INTEGER_TENSOR.fullmatch(str(value.dtype)) is not None
        return StoredArray(str(value.dtype), is_integer, tuple(value.shape), value.numpy)
    return value
