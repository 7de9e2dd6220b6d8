from __future__ import annotations

import pytest

from search_spaces import SEARCH_SPACES
from studies.report.infos.corruptions import collect_corruptions
from tests.studies.report._measured import measured_source, searched_source


def test_grids_are_means_over_seeds_by_corruption_and_severity() -> None:
    info = collect_corruptions(measured_source())
    assert (info.corruptions, info.severities, info.n_images) == (["fog", "snow"], [1, 2], 100)
    assert list(info.conditions) == ["none", "symmetric_20", "symmetric_40"]
    member = info.conditions["none"][1]
    assert (member.method, member.n) == ("bsd", 2)
    assert member.grids["accuracy"].tolist() == [pytest.approx([0.8, 0.6]), pytest.approx([0.7, 0.5])]
    assert member.means["accuracy"][0].mean == pytest.approx(0.7)
    assert info.limits("accuracy") == pytest.approx((0.5, 0.8))


def test_the_table_has_a_row_a_corruption_with_each_severity() -> None:
    [table] = collect_corruptions(measured_source(["bsd"], ["none"])).tables()
    assert [row["corruption"] for row in table.rows] == ["fog", "snow"]
    assert table.rows[0]["accuracy_severity_2"] == pytest.approx(0.6)
    assert table.rows[0]["ece_severity_1"] == pytest.approx(0.1)


def test_a_printed_figure_shows_the_first_and_the_last_condition() -> None:
    info = collect_corruptions(measured_source())
    assert info.drawn == ["none", "symmetric_40"]
    assert "A printed figure shows the conditions none and symmetric_40." in info.caption
    assert collect_corruptions(measured_source(conditions=["none"])).drawn == ["none"]


def test_more_methods_than_are_drawn_are_announced() -> None:
    info = collect_corruptions(measured_source([*SEARCH_SPACES][:7], ["none"]))
    assert len(info.conditions["none"]) == 7
    assert "first 6 methods" in info.caption


def test_without_corrupted_images_it_is_said_how_to_ask_for_them() -> None:
    missing = collect_corruptions(measured_source(corrupted=None)).missing
    assert missing is not None
    assert "evaluate.corruptions" in missing


def test_nothing_finished_is_said() -> None:
    missing = collect_corruptions(searched_source(("bsd/none", 0, None, 0.1))).missing
    assert missing is not None
    assert "No training has come to its end" in missing
