from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from bsd_core.metrics.robustness import (
    corruption_errors,
    flip_probability,
    mean_corruption_error,
    rank_distance,
    relative_corruption_errors,
)
from tests._dummies import PROPERTY, Float64, make_logits

Kind = Literal["top5", "zipf"]


def naive_rank_distance(logits: Float64, kind: Kind, noise: bool) -> float:
    """The definition with permutations and a table of cumulative counts."""
    n_classes = logits.shape[-1]
    table = np.cumsum([0] + [1] * 5 + [0] * n_classes)[:n_classes]  # C(1), C(2), ...
    distances = []
    for sequence in logits:
        ranks = [rankdata(-frame, method="ordinal").astype(int) for frame in sequence]
        for index in range(1, len(ranks)):
            before = ranks[0] if noise else ranks[index - 1]
            sigma = ranks[index][np.argsort(before)]  # new rank of the class that was at rank 1, 2, ...
            if kind == "top5":
                distances.append(sum(abs(table[i] - table[sigma[i] - 1]) for i in range(min(5, n_classes))))
            else:
                distances.append(sum(abs(1 / (i + 1) - 1 / sigma[i]) / (i + 1) for i in range(n_classes)))
    return float(np.mean(distances))


@PROPERTY
@given(
    frames=st.integers(2, 5),
    n_classes=st.integers(1, 12),
    seed=st.integers(0, 100),
    kind=st.sampled_from(["top5", "zipf"]),
    noise=st.booleans(),
)
def test_rank_distance_equals_plain_loops(frames: int, n_classes: int, seed: int, kind: Kind, noise: bool) -> None:
    logits = make_logits(3 * frames, n_classes, seed=seed).reshape(3, frames, n_classes)
    assert float(rank_distance(logits, kind=kind, noise=noise)) == pytest.approx(naive_rank_distance(logits.numpy(), kind, noise))


def test_flips_by_hand() -> None:
    predictions = torch.tensor([[0, 0, 1, 0], [2, 2, 2, 2]])
    assert float(flip_probability(predictions)) == 2 / 6  # 0-1 and 1-0
    assert float(flip_probability(predictions, noise=True)) == 1 / 6  # only the 1 differs from the first frame


def test_two_classes_that_change_places_by_hand() -> None:
    logits = torch.tensor([[[3.0, 2.0, 1.0], [2.0, 3.0, 1.0]]])
    assert float(rank_distance(logits, kind="top5")) == 1 + 1  # ranks 1 and 2 count 0 and 1
    assert float(rank_distance(logits, kind="zipf")) == pytest.approx((1 - 1 / 2) * 1 + (1 - 1 / 2) / 2)


def test_a_change_beyond_the_sixth_rank_is_none_to_the_first_five() -> None:
    logits = -torch.arange(8.0).repeat(1, 2, 1)
    logits[0, 1, [6, 7]] = logits[0, 0, [7, 6]]
    assert float(rank_distance(logits, kind="top5")) == 0
    assert float(rank_distance(logits, kind="zipf")) > 0


def test_equal_logits_keep_the_order_of_the_classes() -> None:
    assert float(rank_distance(torch.zeros(2, 3, 7), kind="zipf")) == 0


def test_corruption_errors_by_hand() -> None:
    errors, base = torch.tensor([[0.1, 0.3], [0.2, 0.2]]), torch.tensor([[0.4, 0.4], [0.2, 0.6]])
    assert corruption_errors(errors, base).numpy() == pytest.approx([0.4 / 0.8, 0.4 / 0.8])
    assert float(mean_corruption_error(errors, base)) == pytest.approx(0.5)
    assert float(mean_corruption_error(errors)) == pytest.approx(0.8 / 4)
    relative = relative_corruption_errors(errors, base, clean_error=0.05, base_clean_error=0.1)
    assert relative.numpy() == pytest.approx([(0.4 - 0.1) / (0.8 - 0.2)] * 2)


def test_the_base_against_itself_is_one() -> None:
    errors = torch.rand(15, 5, generator=torch.Generator().manual_seed(0)) + 0.1
    assert corruption_errors(errors, errors).numpy() == pytest.approx(np.ones(15))
    relative = relative_corruption_errors(errors, errors, clean_error=0.05, base_clean_error=0.05)
    assert relative.numpy() == pytest.approx(np.ones(15))


def test_a_base_without_errors_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must sum to more than 0 for every corruption"):
        corruption_errors(torch.ones(2, 2), torch.tensor([[0.1, 0.1], [0.0, 0.0]]))
    with pytest.raises(ValueError, match=r"above its clean error"):
        relative_corruption_errors(torch.ones(1, 2), torch.full((1, 2), 0.25), clean_error=0.1, base_clean_error=0.25)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must have one shape \(C, S\), but got \(2, 3\) and \(2, 2\)"):
        corruption_errors(torch.ones(2, 3), torch.ones(2, 2))


def test_one_frame_cannot_change() -> None:
    with pytest.raises(ValueError, match=r"`F >= 2` must hold .* got F = 1 frame"):
        flip_probability(torch.zeros(3, 1, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"`F >= 2` must hold"):
        rank_distance(torch.zeros(3, 1, 4), kind="zipf")


def test_an_unknown_distance_is_refused() -> None:
    unknown: Any = "top1"
    with pytest.raises(ValueError, match=r"`kind` must be 'top5' or 'zipf', but got 'top1'"):
        rank_distance(torch.zeros(1, 2, 3), kind=unknown)
