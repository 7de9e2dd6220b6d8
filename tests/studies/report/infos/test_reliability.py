from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from studies.report.infos.reliability import collect_reliability
from tests.studies._dummies import write_clean_predictions
from tests.studies.report._measured import measured_source, searched_source


def test_before_is_of_the_clean_test_images_of_all_seeds_together() -> None:
    info = collect_reliability(measured_source(conditions=["none"]))
    [_, diagram] = info.conditions["none"]
    assert (diagram.method, diagram.n, diagram.after) == ("bsd", 2, None)
    first, last = diagram.before
    assert (first.number, first.share, first.accuracy) == pytest.approx((9, 0.2, (10 + 12) / 40))
    assert (last.number, last.share, last.accuracy) == pytest.approx((14, 0.8, 0.95))
    assert "Before temperature scaling only" in info.caption
    assert "how the seeds differ" in info.caption
    assert "Wilson" not in info.caption


def test_after_is_from_stored_predictions_divided_by_the_temperature(tmp_path: Path) -> None:
    source = replace(measured_source(["bsd"], ["none"]), path=tmp_path)
    confidence, hit = np.repeat([0.99, 0.8], 10), np.repeat([True, False], 10)
    for replicate in range(2):
        write_clean_predictions(tmp_path / "tables" / "predictions", f"bsd-none-0000-confirm-{replicate}", confidence, hit)
    [diagram] = collect_reliability(source).conditions["none"]
    assert diagram.after is not None
    scaled = [1 / (1 + ((1 - c) / c) ** (1 / 1.5)) for c in (0.8, 0.99)]  # two classes, temperature 1.5
    assert [entry.confidence for entry in diagram.after] == pytest.approx(scaled, abs=1e-3)
    assert [entry.accuracy for entry in diagram.after] == [0.0, 1.0]
    assert [row["scaling"] for row in collect_reliability(source).tables()[0].rows] == ["before", "before", "after", "after"]


def test_after_needs_the_predictions_of_all_seeds(tmp_path: Path) -> None:
    source = replace(measured_source(["bsd"], ["none"]), path=tmp_path)
    write_clean_predictions(tmp_path / "tables" / "predictions", "bsd-none-0000-confirm-0", [0.9, 0.8], [True, False])
    [diagram] = collect_reliability(source).conditions["none"]
    assert diagram.after is None


def test_without_a_confirm_phase_it_is_of_validation_images_with_wilsons_interval() -> None:
    info = collect_reliability(searched_source(("bsd/none", 0, 0.8, 0.1)))
    [diagram] = info.conditions["none"]
    [entry] = diagram.before
    assert (entry.number, entry.accuracy) == pytest.approx((14, 0.8))
    assert entry.low is not None
    assert entry.low < 0.8
    assert "Wilson" in info.caption
    assert "Nothing is confirmed" in info.caption


def test_nothing_finished_is_said() -> None:
    assert collect_reliability(searched_source()).missing is not None


@pytest.mark.parametrize(("n_methods", "columns", "drawn"), [(2, 2, [0, 1, 2]), (5, 5, [0, 1, 2]), (7, 4, [0, 2]), (12, 5, [2])])
def test_a_printed_figure_shows_as_many_conditions_as_a_page_has_room_for(n_methods: int, columns: int, drawn: list[int]) -> None:
    info = collect_reliability(measured_source(["bsd"]))
    [diagram] = info.conditions["none"]
    info = replace(info, conditions={str(number): [diagram] * n_methods for number in range(3)})
    assert info.columns == columns
    assert info.drawn == [str(number) for number in drawn]
    assert ("A printed figure shows" in info.caption) == (len(drawn) < 3)
