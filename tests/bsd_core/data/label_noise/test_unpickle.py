from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bsd_core.data.label_noise.unpickle import read_integer_arrays


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4"])
def test_arrays_of_integers_come_back(dtype: str, tmp_path: Path) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype)
    torch.save({"c": array, "fortran": np.asfortranarray(array), "list": [array[1, 1]]}, tmp_path / "a.pt")
    found = read_integer_arrays(tmp_path / "a.pt")
    assert found["c"].dtype == array.dtype
    assert np.array_equal(found["c"], array)
    assert np.array_equal(found["fortran"], array)
    assert found["list"] == [5]


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def test_bytes_do_not_become_pointers(tmp_path: Path) -> None:
    # numpy.ndarray(shape, dtype, buffer) makes objects of the addresses in the buffer; ours is no such thing.
    torch.save({"a": Calls(np.ndarray, (1,), np.dtype("O"), b"\x41" * 8)}, tmp_path / "a.pt")
    with pytest.raises(Exception, match=r"no integer type|takes no arguments"):
        read_integer_arrays(tmp_path / "a.pt")
    torch.save({"a": Calls(np.ndarray, (1,), np.dtype("i8"), b"\x41" * 8)}, tmp_path / "a.pt")
    with pytest.raises(Exception, match=r"takes no arguments"):
        read_integer_arrays(tmp_path / "a.pt")


@pytest.mark.parametrize("array", [np.array([{}, 1], dtype=object), np.array([0.5]), np.array(["text"]), np.array([1], dtype=">i8")])
def test_arrays_of_anything_else_are_refused(array: Any, tmp_path: Path) -> None:
    torch.save({"a": array}, tmp_path / "a.pt")
    with pytest.raises(Exception, match=r"no integer type|not little-endian"):
        read_integer_arrays(tmp_path / "a.pt")


def test_afterwards_torch_is_as_strict_as_before(tmp_path: Path) -> None:
    torch.save({"a": np.arange(3)}, tmp_path / "a.pt")
    before = set(torch.serialization.get_safe_globals())
    assert read_integer_arrays(tmp_path / "a.pt")["a"].tolist() == [0, 1, 2]
    assert set(torch.serialization.get_safe_globals()) == before


def test_what_is_no_dictionary_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "a.pt")
    with pytest.raises(TypeError, match=r"expected a dictionary, but it holds a list"):
        read_integer_arrays(tmp_path / "a.pt")
