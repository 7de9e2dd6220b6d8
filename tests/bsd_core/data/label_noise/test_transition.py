from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bsd_core.data.label_noise import check_transition_matrix, load_transition_matrix, spoil_labels
from bsd_core.data.label_noise.transition import inverse_cdf
from bsd_core.errors import DataError
from tests._dummies import PROPERTY, Float64
from tests.bsd_core.data.label_noise._dummies import assert_drawn_from

MATRIX: Float64 = np.array([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]])


def write(path: Path, matrix: Float64) -> Path:
    if path.suffix == ".npy":
        np.save(path, matrix)
    elif path.suffix == ".json":
        path.write_text(json.dumps(matrix.tolist()), encoding="utf-8")
    else:
        np.savetxt(path, matrix, delimiter=",")
    return path


@pytest.mark.parametrize("name", ["m.csv", "m.json", "m.npy"])
def test_a_matrix_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    assert np.array_equal(load_transition_matrix(write(tmp_path / name, MATRIX), 3), MATRIX)


def test_a_spreadsheet_with_a_byte_order_mark_and_blank_lines_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("\ufeff0.5, 0.5\n\n0, 1\n\n", encoding="utf-8")
    assert load_transition_matrix(path, 2).tolist() == [[0.5, 0.5], [0, 1]]


def test_labels_are_drawn_from_the_row_of_their_class() -> None:
    true = np.repeat([0, 1, 2, 0], 6000)
    assert_drawn_from(MATRIX, true, spoil_labels(true, "confusion", n_classes=3, seed=0, matrix=MATRIX))


def test_the_identity_changes_nothing_and_a_permutation_everything() -> None:
    true = np.arange(12) % 4
    assert np.array_equal(spoil_labels(true, "confusion", n_classes=4, seed=0, matrix=np.eye(4)), true)
    swapped = spoil_labels(true, "confusion", n_classes=4, seed=0, matrix=np.eye(4)[::-1])
    assert np.array_equal(swapped, 3 - true)


@PROPERTY
@given(weights=st.lists(st.integers(0, 4), min_size=1, max_size=8).filter(any), uniform=st.floats(0, 1, exclude_max=True))
def test_a_class_of_probability_zero_is_never_drawn(weights: list[int], uniform: float) -> None:
    probs = np.array(weights) / sum(weights)
    for value in (0.0, uniform, np.nextafter(1, 0)):
        assert weights[int(inverse_cdf(probs, np.array([value]))[0])] > 0


def test_a_matrix_may_be_a_tensor_or_lists() -> None:
    for matrix in (torch.from_numpy(MATRIX), MATRIX.tolist(), torch.from_numpy(MATRIX).to(torch.bfloat16)[1:2].repeat(3, 1)):
        checked = check_transition_matrix(matrix, 3)
        assert checked.dtype == np.float64
        assert np.array_equal(checked, MATRIX if checked[0, 0] else np.array([[0.0, 1.0, 0.0]] * 3))


@pytest.mark.parametrize("name", ["m.CSV", "m.Json", "m.NPY"])
def test_endings_may_be_in_capitals(name: str, tmp_path: Path) -> None:
    write(tmp_path / name.lower(), MATRIX).rename(tmp_path / name)
    assert np.array_equal(load_transition_matrix(tmp_path / name, 3), MATRIX)


def test_an_archive_of_arrays_under_the_name_of_one_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "z.npz", MATRIX)
    (tmp_path / "z.npz").rename(tmp_path / "z.npy")
    with pytest.raises(
        DataError, match=r"z\.npy: not a matrix of numbers \(it is an archive of arrays, as np\.savez writes it; .* np\.save\)"
    ):
        load_transition_matrix(tmp_path / "z.npy", 3)


def test_an_npy_file_that_promises_a_large_array_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "m.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**7, 10**7)})
    with pytest.raises(DataError, match=r"m\.npy: Expected .* \(3, 3\), .* but got float64 \(10000000, 10000000\)"):
        load_transition_matrix(tmp_path / "m.npy", 3)


def test_rows_may_be_off_by_a_millionth_as_rounded_digits_are() -> None:
    assert check_transition_matrix(np.array([[0.3333333, 0.6666662], [0, 1]]), 2)[0, 1] == 0.6666662


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.array([[0.5, 0.5], [0.7, 0.5]]), r"row 1 sums to 1\.2 \(1 of 2 rows are wrong\)\. Divide each row by its sum"),
        (np.array([[3, 1], [2, 2]]), r"row 0 sums to 4 \(2 of 2 rows are wrong\)"),
        (np.array([[1, 0], [0.999998, 0]]), r"row 1 sums to 0\.999998 "),
        (np.array([[1.5, -0.5], [0, 1]]), r"Probabilities are at least 0, but row 0 of the confusion matrix has -0\.5 for class 1"),
        (np.array([[1, 0], [0, np.nan]]), r"row 1 of the confusion matrix has nan for class 1"),
        (np.array([[1, 0], [np.inf, 0]]), r"row 1 sums to inf"),
        (np.eye(3), r"Expected a confusion matrix of real numbers of shape \(2, 2\), .* but got float64 \(3, 3\)"),
        (np.ones((2, 1)), r"got float64 \(2, 1\)"),
        (np.ones(2), r"got float64 \(2,\)"),
        (np.eye(2) * 1j, r"got complex128"),
        (np.array([["1", "0"], ["0", "1"]]), r"got <U1 \(2, 2\)"),
        ([[1, 0], [1]], r"Expected the rows of a confusion matrix as .*, but got a list with rows of unequal length"),
        (torch.eye(3), r"got float32 \(3, 3\)"),
        (torch.eye(2).to_sparse(), r"but got a Tensor of torch\.sparse_coo torch\.float32"),
    ],
)
def test_what_is_no_transition_matrix_is_refused(matrix: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_transition_matrix(matrix, 2)
    with pytest.raises(DataError, match=message):
        spoil_labels(np.zeros(3, np.int64), "confusion", n_classes=2, seed=0, matrix=matrix)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "a,b\n0,1\n", r"m\.csv: not a matrix of numbers"),
        ("m.csv", "1,0\n1\n", r"m\.csv: not a matrix of numbers"),
        ("m.csv", "", r"m\.csv: Expected a confusion matrix"),
        ("m.csv", "1,0\n0.5,0.6\n", r"m\.csv: Each row of a confusion matrix must sum to 1, but row 1 sums to 1\.1"),
        ("m.json", '{"a": 1}', r"m\.json: not a matrix of numbers"),
        ("m.json", "[[1, 0], [0, 1]", r"m\.json: not a matrix of numbers"),
        ("m.json", f"[[{10**400}, 0], [0, 1]]", r"m\.json: not a matrix of numbers"),
        ("m.json", "[" * 100_000, r"m\.json: not a matrix of numbers"),
        ("m.npy", "no array", r"m\.npy: not a matrix of numbers"),
        ("m.txt", "1,0\n0,1\n", r"A confusion matrix is read from \.csv, \.json, \.npy, but got '.*m\.txt'"),
    ],
)
def test_a_file_without_a_matrix_is_refused(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        load_transition_matrix(tmp_path / name, 2)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No such file: '.*none\.csv'"):
        load_transition_matrix(tmp_path / "none.csv", 2)


def test_pickled_objects_are_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.array([[{}, {}], [{}, {}]], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"m\.npy: (not a matrix of numbers|Expected .* but got object \(2, 2\))"):
        load_transition_matrix(tmp_path / "m.npy", 2)
