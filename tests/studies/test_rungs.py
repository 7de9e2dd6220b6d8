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
        (27, 3, None, (4, 12)),
        (15, 3, None, (3, 9)),
        (200, 3, None, (29, 87)),
        (27, 3, 1, (1, 3, 9)),
        (27, 3, 5, (5, 15)),
        (27, 3, 7, (7,)),  # 21 of 27 would save little
        (27, 3, 18, (18,)),
        (27, 3, 19, ()),
        (27, 4, None, (4, 16)),
        (27, 2, None, (4, 8, 16)),
        (9, 3, None, (2, 6)),
        (3, 3, None, (1,)),
        (2, 3, None, (1,)),
        (1, 3, None, ()),
    ],
)
def test_rungs(total: int, reduction: int, first: int | None, expected: tuple[int, ...]) -> None:
    assert Rungs(reduction, first).epochs(total) == expected


@PROPERTY
@given(total=st.integers(1, 500), reduction=st.integers(2, 64), first=st.none() | st.integers(1, 600))
def test_rungs_rise_and_lie_in_the_first_two_thirds(total: int, reduction: int, first: int | None) -> None:
    rungs = Rungs(reduction, first).epochs(total)
    assert list(rungs) == sorted(set(rungs))
    assert all((first or total / 7) <= rung <= total * 2 / 3 for rung in rungs)


@pytest.mark.parametrize(("reduction", "first", "message"), [(1, None, "reduction >= 2.*reduction=1"), (3, 0, "first >= 1.*first=0")])
def test_impossible_rungs_are_refused(reduction: int, first: int | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Rungs(reduction, first)
