from __future__ import annotations

from studies.report.figures.blocks import lengths


def test_error_bars_reach_to_the_ends_of_intervals() -> None:
    assert lengths([0.5, 0.75], [0.25, None], [1.0, None]) == [[0.25, 0.0], [0.5, 0.0]]


def test_an_end_that_rounding_moved_inside_gives_no_negative_length() -> None:
    assert lengths([1.0], [0.75], [1.0 - 2**-53]) == [[0.25], [0.0]]
