from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsd_core.errors import ConfigError
from studies.rungs import Rungs
from tests._dummies import PROPERTY


@pytest.mark.parametrize(
    ("total", "reduction", "first", "expected"),
    [
        (27, 3, None, (9, 3)),
        (15, 3, None, (5, 2)),
        (200, 3, None, (67, 23)),
        (27, 3, 1, (9, 3, 1)),
        (27, 3, 5, (9,)),
        (27, 3, 12, (12,)),  # not before epoch 12, and there at least
        (27, 3, 27, ()),
        (27, 4, None, (7, 2)),
        (27, 2, 4, (14, 7, 4)),
        (3, 3, None, (1,)),
        (2, 3, None, (1,)),
        (1, 3, None, ()),
    ],
)
def test_rungs(total: int, reduction: int, first: int | None, expected: tuple[int, ...]) -> None:
    assert Rungs(reduction, first).epochs(total) == expected


@PROPERTY
@given(total=st.integers(1, 500), reduction=st.integers(2, 64), first=st.none() | st.integers(1, 600))
def test_rungs_fall_and_lie_inside_the_training(total: int, reduction: int, first: int | None) -> None:
    rungs = Rungs(reduction, first).epochs(total)
    assert list(rungs) == sorted(set(rungs), reverse=True)
    assert all((first or 1) <= rung < total for rung in rungs)


@pytest.mark.parametrize(("reduction", "first", "message"), [(1, None, "reduction >= 2.*reduction=1"), (3, 0, "first >= 1.*first=0")])
def test_impossible_rungs_are_refused(reduction: int, first: int | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Rungs(reduction, first)
