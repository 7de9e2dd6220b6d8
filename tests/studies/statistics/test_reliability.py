from __future__ import annotations

import numpy as np
import pytest
import torch

from bsd_core.metrics.calibration import reliability_bins
from studies.statistics.reliability import accuracy_interval, bin_sums, pooled_bins
from studies.statistics.seeds import summarise


def test_bins_hold_their_upper_end_as_those_of_the_table_do() -> None:
    confidence = np.array([0.0, 1 / 15, 1 / 15 + 1e-9, 0.5, 1.0])
    sums = bin_sums(confidence, np.array([True, False, True, True, True]))
    assert sums[0].nonzero()[0].tolist() == [0, 1, 7, 14]
    assert sums[:, 0].tolist() == pytest.approx([2, 1 / 15, 1])


def test_bins_agree_with_the_calibration_metrics() -> None:
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
