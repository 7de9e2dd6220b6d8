"""Arrays in files, described before their values are read: a small file can promise a large array."""

from __future__ import annotations

import contextlib
import functools
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class StoredArray:
    """An array that has not been read yet.

    Attributes:
        dtype: its type, for messages.
        is_integer: whether the type is one of whole numbers; bool is not.
        shape: as the file says.
        read: the values; raises what the file's format raises where it is damaged.
    """

    dtype: str
    is_integer: bool
    shape: tuple[int, ...]
    read: Callable[[], npt.NDArray[Any]]


def npy_array(opened: Callable[[], AbstractContextManager[IO[bytes]]]) -> StoredArray:
    """The array of an .npy file; `opened` opens it anew at each call.

    Raises:
        ValueError: it is no such file, or its header is of another form than that of plain arrays, at most 64 KiB.
    """
    with opened() as file:
        if file.read(2) == b"PK":
            raise ValueError("it is an archive of arrays, as np.savez writes it; write the one array with np.save")
    with opened() as file:
        version = np.lib.format.read_magic(file)  # type: ignore[no-untyped-call,unused-ignore]
        if version != (1, 0):
            raise ValueError(f"an .npy file of version {version}, which plain arrays do not need")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)  # type: ignore[no-untyped-call,unused-ignore]

    def read() -> npt.NDArray[Any]:
        with opened() as file:
            array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)  # type: ignore[no-untyped-call,unused-ignore]
        return array

    return StoredArray(str(dtype), dtype.kind in "iu", shape, read)


def npz_arrays(path: Path, wanted: Collection[str]) -> dict[str, StoredArray | None]:
    """The arrays of an .npz file by name; those that are not wanted are named (None) and not looked into.

    Raises:
        Exception: whatever a damaged archive makes `zipfile` stumble over.
    """
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
    return {name: npy_array(functools.partial(_member, path, f"{name}.npy")) if name in wanted else None for name in names}


@contextlib.contextmanager
def _member(path: Path, name: str) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(path) as archive, archive.open(name) as file:
        yield file
