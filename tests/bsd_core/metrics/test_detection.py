from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from bsd_core.metrics.detection import auroc, fpr_at_95
from tests._dummies import PROPERTY, Float64

SCORES = st.lists(st.integers(0, 12).map(lambda value: value / 8), min_size=1, max_size=60).map(np.array)  # many ties


@PROPERTY
@given(in_scores=SCORES, out_scores=SCORES)
def test_auroc_equals_scikit_learn(in_scores: Float64, out_scores: Float64) -> None:
    sides = np.repeat([1, 0], [len(in_scores), len(out_scores)])
    expected = roc_auc_score(sides, np.concatenate([in_scores, out_scores]))
    assert float(auroc(torch.from_numpy(in_scores), torch.from_numpy(out_scores))) == pytest.approx(expected, abs=1e-12)


@PROPERTY
@given(in_scores=SCORES, out_scores=SCORES)
def test_fpr_is_the_first_point_of_scikit_learns_roc_curve_with_the_recall(in_scores: Float64, out_scores: Float64) -> None:
    scores = np.concatenate([in_scores, out_scores])
    is_in = np.repeat([1, 0], [len(in_scores), len(out_scores)])
    for positive, sides, signed in (("in", is_in, scores), ("out", 1 - is_in, -scores)):
        false_positive, recall, _ = roc_curve(sides, signed, drop_intermediate=False)
        expected = false_positive[np.argmax(recall >= 0.95 - 1e-12)]
        found = fpr_at_95(torch.from_numpy(in_scores), torch.from_numpy(out_scores), positive=positive)  # type: ignore[arg-type]
        assert float(found) == pytest.approx(expected, abs=1e-12)


def test_a_small_case_by_hand() -> None:
    in_scores, out_scores = torch.tensor([0.9, 0.6]), torch.tensor([0.7, 0.6, 0.1])
    assert float(auroc(in_scores, out_scores)) == pytest.approx((3 + 1.5) / 6)  # 0.9 beats all; 0.6 beats 0.1 and ties once
    assert float(fpr_at_95(in_scores, out_scores, positive="in")) == pytest.approx(2 / 3)  # t = 0.6 accepts 0.7 and 0.6
    assert float(fpr_at_95(in_scores, out_scores, positive="out")) == pytest.approx(1 / 2)  # t = 0.7 alarms at 0.6


def test_the_threshold_lets_nineteen_of_twenty_pass() -> None:
    in_scores = torch.arange(1, 21, dtype=torch.float64)
    assert float(fpr_at_95(in_scores, torch.tensor([1.5, 2.0, 2.5, 0.0]), positive="in")) == 2 / 4  # t = 2
    assert float(fpr_at_95(in_scores[1:], torch.tensor([1.5, 2.0, 2.5, 0.0]), positive="in")) == 2 / 4  # of 19, all must pass: t = 2


def test_scores_that_part_the_sides_are_perfect() -> None:
    low, high = torch.linspace(0, 1, 30), torch.linspace(2, 3, 40)
    assert float(auroc(high, low)) == 1
    assert float(auroc(low, high)) == 0
    assert [float(fpr_at_95(high, low, positive=positive)) for positive in ("in", "out")] == [0, 0]


def test_constant_scores_know_nothing() -> None:
    same = torch.zeros(10)
    assert float(auroc(same, same)) == 0.5
    assert float(fpr_at_95(same, same, positive="in")) == 1


def test_an_unknown_convention_is_refused() -> None:
    unknown: Any = "id"
    with pytest.raises(ValueError, match=r"`positive` must be 'in' or 'out', but got 'id'"):
        fpr_at_95(torch.zeros(2), torch.zeros(2), positive=unknown)
