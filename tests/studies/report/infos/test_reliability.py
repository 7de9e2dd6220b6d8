from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from studies.report.infos.reliability import accuracy_interval, bin_sums, collect_reliability, pooled_bins
from tests.studies._dummies import write_clean_predictions
from tests.studies.report._measured import measured_source, searched_source


def test_bins_hold_their_upper_end_as_those_of_the_table_do() -> None:
    confidence = np.array([0.0, 1 / 15, 1 / 15 + 1e-9, 0.5, 1.0])
    sums = bin_sums(confidence, np.array([True, False, True, True, True]))
    assert sums[0].nonzero()[0].tolist() == [0, 1, 7, 14]
    assert sums[:, 0].tolist() == pytest.approx([2, 1 / 15, 1])


def test_bins_agree_with_the_calibration_metrics() -> None:
    torch = pytest.importorskip("torch")
    from bsd_core.metrics.calibration import reliability_bins

    logits = torch.randn(500, 5, generator=torch.Generator().manual_seed(0)).double() * 2
    targets = torch.arange(500) % 5
    expected = reliability_bins(logits.softmax(1), targets)
    confidence, predicted = logits.softmax(1).max(1)
    count, confidences, hits = bin_sums(confidence.numpy(), (predicted == targets).numpy())
    assert count.tolist() == expected.count.tolist()
    filled = count > 0
    assert confidences[filled] / count[filled] == pytest.approx(expected.mean_confidence.numpy()[filled])
    assert hits[filled] / count[filled] == pytest.approx(expected.accuracy.numpy()[filled])


def test_one_network_has_wilsons_interval() -> None:
    assert accuracy_interval(np.array([8.0]), np.array([10.0])) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # a textbook's example


def test_several_networks_have_the_interval_of_a_ratio_over_seeds() -> None:
    # 8 of 10 and 27 of 30: r = 35/40; what is left over is -0.75 and 0.75; sqrt(2/1 x 2 x 0.75^2) = 1.5
    half = 12.7062 * 1.5 / 40
    low, high = accuracy_interval(np.array([8.0, 27.0]), np.array([10.0, 30.0]))
    assert (low, high) == pytest.approx((0.875 - half, 0.875 + half), abs=1e-5)


def test_with_equal_counts_it_is_the_interval_of_the_mean_over_seeds() -> None:
    from studies.statistics.seeds import summarise

    hits = np.array([14.0, 17.0, 12.0])
    summary = summarise(hits / 20)
    assert accuracy_interval(hits, np.full(3, 20.0)) == pytest.approx((summary.low, summary.high))


def test_where_one_of_several_networks_has_images_there_is_no_interval() -> None:
    assert accuracy_interval(np.array([3.0, 0.0]), np.array([4.0, 0.0])) == (None, None)


def test_pooled_bins_weigh_images_not_networks() -> None:
    sums = np.zeros((2, 3, 15))
    sums[0, :, 3] = 10, 2.2, 5
    sums[1, :, 3] = 30, 7.2, 21
    sums[1, :, 14] = 10, 9.8, 10
    first, last = pooled_bins(sums)
    assert (first.number, first.share, first.confidence, first.accuracy) == pytest.approx((3, 0.8, 9.4 / 40, 26 / 40))
    assert (last.number, last.share) == pytest.approx((14, 0.2))
    assert last.low is None


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
