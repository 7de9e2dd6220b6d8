from __future__ import annotations

import numpy as np
import pytest
import torch

from bsd_core.data.label_noise.arrays import as_array, as_indices
from bsd_core.errors import DataError


@pytest.mark.parametrize(
    "values",
    [[2, 0, 1], (2, 0, 1), np.array([2, 0, 1], ">u2"), np.array([2, 0, 1], np.uint64), torch.tensor([2, 0, 1], dtype=torch.int8)],
)
def test_integers_of_any_kind_become_int64(values: list[int]) -> None:
    found = as_indices(values, 3, "labels")
    assert found.dtype == np.int64
    assert found.tolist() == [2, 0, 1]


def test_the_copy_leaves_the_original_alone() -> None:
    array = np.array([1, 2])
    as_indices(array, 3, "labels")[0] = 0
    assert array.tolist() == [1, 2]


def test_what_lies_outside_is_named_before_it_is_cast() -> None:
    with pytest.raises(DataError, match=r"Rows must lie in \[0, 3\), but run from 0 to 9223372036854775809"):
        as_indices(np.array([0, 2**63 + 1], np.uint64), 3, "rows")
    with pytest.raises(DataError, match=r"Rows must lie in \[0, 0\), but run from 0 to 0"):
        as_indices([0], 0, "rows")


def test_a_tensor_with_a_gradient_and_one_in_bfloat16_are_read() -> None:
    assert as_array(torch.tensor([0.5], requires_grad=True), "features").tolist() == [0.5]
    found = as_array(torch.tensor([0.5], dtype=torch.bfloat16), "features")
    assert found.dtype == np.float32
    assert found.tolist() == [0.5]
