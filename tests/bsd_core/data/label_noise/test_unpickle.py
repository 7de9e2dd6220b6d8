from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bsd_core.data.label_noise.unpickle import torch_arrays


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i2", ">i8", ">u4"])
def test_arrays_of_integers_come_back(dtype: str, tmp_path: Path) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype)
    torch.save({"c": array, "fortran": np.asfortranarray(array), "list": [array[1, 1]], "empty": array[:0]}, tmp_path / "a.pt")
    found = torch_arrays(tmp_path / "a.pt")
    assert found["c"].is_integer
    assert found["c"].read().dtype == array.dtype
    assert np.array_equal(found["c"].read(), array)
    assert np.array_equal(found["fortran"].read(), array)
    assert found["list"] == [5]
    assert found["empty"].shape == (0, 4)
    assert found["empty"].read().shape == (0, 4)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint64])
def test_tensors_of_integers_come_back_as_arrays(dtype: torch.dtype, tmp_path: Path) -> None:
    torch.save({"a": torch.arange(6).reshape(2, 3).to(dtype)}, tmp_path / "a.pt")
    found = torch_arrays(tmp_path / "a.pt")["a"]
    assert found.is_integer
    assert found.shape == (2, 3)
    assert found.read().tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (np.array([0.5]), "float64"),
        (np.array(["text"]), "U4"),
        (np.array([{}, 1], dtype=object), "O8"),
        (np.array([True]), "bool"),
        (np.array(["2020-01-01"], "M8[D]"), "M8"),
        (np.zeros(1, [("a", "i4")]), "V4"),
        (torch.ones(1), "torch.float32"),
        (torch.ones(1, dtype=torch.bfloat16), "torch.bfloat16"),
        (torch.ones(1, dtype=torch.int64).to_sparse(), "torch.int64"),
    ],
)
def test_arrays_of_anything_else_are_described_but_no_integers(value: Any, dtype: str, tmp_path: Path) -> None:
    torch.save({"a": value, "scalars": [np.float64(0.5), np.str_("text")], "b": np.arange(2)}, tmp_path / "a.pt")
    found = torch_arrays(tmp_path / "a.pt")
    assert (found["a"].dtype, found["a"].shape, found["a"].is_integer) == (dtype, tuple(value.shape), False)
    assert found["b"].read().tolist() == [0, 1]


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def test_bytes_do_not_become_pointers(tmp_path: Path) -> None:
    # numpy.ndarray(shape, dtype, buffer) makes objects of the addresses in the buffer; ours is no such thing.
    for code in ("O", "i8"):
        torch.save({"a": Calls(np.ndarray, (1,), np.dtype(code), b"\x41" * 8)}, tmp_path / "a.pt")
        with pytest.raises(ValueError, match=r"damaged, or not written by torch\.save") as caught:
            torch_arrays(tmp_path / "a.pt")
        assert "takes no arguments" in str(caught.value.__cause__)


class Rebuilt:
    """Pickles as an array of `code` whose content is `raw`."""

    def __init__(self, code: str, raw: bytes) -> None:
        self.code, self.raw = code, raw

    def __reduce__(self) -> tuple[Any, ...]:
        reduced: tuple[Any, ...] = tuple(np.zeros(1).__reduce__())
        return *reduced[:2], (1, (1,), np.dtype(self.code), False, self.raw)


def test_an_array_of_objects_made_of_bytes_is_no_array(tmp_path: Path) -> None:
    torch.save({"a": Rebuilt("O", b"\x41" * 8), "short": Rebuilt("i8", b"\x41")}, tmp_path / "a.pt")
    found = torch_arrays(tmp_path / "a.pt")
    assert not found["a"].is_integer
    with pytest.raises(ValueError, match=r"without its bytes"):
        found["a"].read()
    with pytest.raises(ValueError, match=r"buffer size must be a multiple of element size"):
        found["short"].read()


def test_many_bytes_are_not_made(tmp_path: Path) -> None:
    torch.save({"a": Calls(bytes, 10**15)}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"damaged, or not written by torch\.save") as caught:
        torch_arrays(tmp_path / "a.pt")
    assert "positional argument" in str(caught.value.__cause__)


def test_a_compressed_file_is_refused_unread(tmp_path: Path) -> None:
    torch.save({"a": np.zeros(10)}, tmp_path / "stored.pt")
    with zipfile.ZipFile(tmp_path / "stored.pt") as stored, zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in stored.namelist():
            packed.writestr(name, stored.read(name))
    with pytest.raises(ValueError, match=r"it is compressed, as torch\.save's files never are"):
        torch_arrays(tmp_path / "a.pt")


def test_the_name_that_is_refused_is_told(tmp_path: Path) -> None:
    torch.save({"a": Calls(len, "it ran")}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"it asks for '(builtins\.)?len', which arrays of integers do not need"):
        torch_arrays(tmp_path / "a.pt")


def test_another_pickle_protocol_is_told_without_a_warning(tmp_path: Path) -> None:
    torch.save({"a": np.arange(3)}, tmp_path / "a.pt", pickle_protocol=4)
    with pytest.raises(ValueError, match=r"in another pickle protocol than torch\.save's own \(2\); write it with torch\.save"):
        torch_arrays(tmp_path / "a.pt")


def test_afterwards_torch_is_as_strict_as_before(tmp_path: Path) -> None:
    torch.save({"a": np.arange(3)}, tmp_path / "a.pt")
    before = set(torch.serialization.get_safe_globals())
    assert torch_arrays(tmp_path / "a.pt")["a"].read().tolist() == [0, 1, 2]
    assert set(torch.serialization.get_safe_globals()) == before


def test_what_is_no_dictionary_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"expected a dictionary of arrays, but it holds a list"):
        torch_arrays(tmp_path / "a.pt")
