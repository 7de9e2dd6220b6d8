from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from bsd_core.metrics.label_noise import label_recovery, memorised_fraction
from tests._dummies import PROPERTY

LABELS = st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=40)


@PROPERTY
@given(rows=LABELS)
def test_shares_are_scikit_learns_accuracy_among_the_wrong_labels(rows: list[tuple[int, int, int]]) -> None:
    predicted, true, given_ = (torch.tensor(column) for column in zip(*rows, strict=True))
    wrong = [row for row in rows if row[1] != row[2]]
    recovered = accuracy_score([row[1] for row in wrong], [row[0] for row in wrong]) if wrong else None
    memorised = accuracy_score([row[2] for row in wrong], [row[0] for row in wrong]) if wrong else None
    assert label_recovery(predicted, true, given_) == (None if recovered is None else pytest.approx(recovered))
    assert memorised_fraction(predicted, true, given_) == (None if memorised is None else pytest.approx(memorised))


def test_a_small_case_by_hand() -> None:
    # | true | given | predicted |                    |
    # | 0    | 0     | 1         | rightly labelled   |
    # | 0    | 1     | 0         | recovered          |
    # | 0    | 2     | 2         | memorised          |
    # | 1    | 2     | 2         | memorised          |
    # | 1    | 0     | 3         | a third class      |
    true, given_, predicted = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 1, 2, 2, 0]), torch.tensor([1, 0, 2, 2, 3])
    assert label_recovery(predicted, true, given_) == 1 / 4
    assert memorised_fraction(predicted, true, given_) == 2 / 4


def test_without_a_wrong_label_there_is_nothing_to_say() -> None:
    labels = torch.tensor([0, 1, 2])
    assert label_recovery(labels, labels, labels) is None
    assert memorised_fraction(labels, labels, labels) is None


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"of one shape \(N,\), but got estimates \(2,\), true \(3,\), given \(3,\)"):
        label_recovery(torch.tensor([0, 1]), torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]))
