from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from bsd_core.robustness.random_fields import RandomField


def make_field(*names: object, n: int = 64, start: int = 0) -> RandomField:
    return RandomField(*(names or ("test",)), indices=torch.arange(start, start + n))


def test_a_value_depends_on_the_name_and_the_image_index_alone() -> None:
    whole = make_field(n=50).normal(7)
    rows = torch.tensor([31, 4, 4, 49])
    assert torch.equal(RandomField("test", indices=rows).normal(7), whole[rows])


def test_longer_draws_begin_with_the_shorter_ones() -> None:
    assert torch.equal(make_field().bits(100)[:, :30], make_field().bits(30))
    assert torch.equal(make_field().uniform(100)[:, :30], make_field().uniform(30))


def test_names_streams_and_large_indices_give_different_numbers() -> None:
    draws = [
        make_field(0, "noise", 1).bits(16),
        make_field(1, "noise", 1).bits(16),
        make_field(0, "noise", 2).bits(16),
        make_field(0, "other", 1).bits(16),
        make_field(0, "noise", 1).bits(16, stream=1),
        make_field(0, "noise", 1, start=2**31).bits(16),
        make_field(0, "noise", 1, start=2**40).bits(16),
    ]
    assert len({tuple(draw.flatten().tolist()) for draw in draws}) == len(draws)
    assert all(len(set(draw[:, 0].tolist())) == len(draw) for draw in draws)


def test_small_index_types_give_the_same_numbers() -> None:
    rows = torch.tensor([3, 200])
    assert torch.equal(RandomField("a", indices=rows.to(torch.uint8)).bits(5), RandomField("a", indices=rows).bits(5))


def test_every_bit_is_set_half_of_the_time() -> None:
    bits = make_field(n=200).bits(500).numpy().view(np.uint32)
    shares = [((bits >> bit) & 1).mean() for bit in range(32)]
    # 100,000 coin flips: a spread of 0.0016
    assert shares == pytest.approx([0.5] * 32, abs=5 * 0.0016)


def test_uniform_numbers_are_uniform_and_inside_zero_and_one() -> None:
    values = make_field(n=100).uniform(2000)
    assert values.dtype == torch.float32
    assert float(values.min()) > 0
    assert float(values.max()) < 1
    assert stats.kstest(values.flatten().numpy().astype(np.float64), "uniform").pvalue > 0.001


def test_normal_numbers_are_standard_normal() -> None:
    values = make_field(n=100).normal(2001)
    assert values.shape == (100, 2001)
    assert values.dtype == torch.float32
    assert bool(torch.isfinite(values).all())
    assert stats.kstest(values.flatten().numpy().astype(np.float64), "norm").pvalue > 0.001


def test_images_positions_and_streams_are_uncorrelated() -> None:
    field = make_field(n=400)
    values, other = field.normal(400).numpy(), field.normal(400, stream=1).numpy()
    pairs = {
        "next image": (values[:-1], values[1:]),
        "next position": (values[:, :-1], values[:, 1:]),
        "halves of Box-Muller": (values[:, :200], values[:, 200:]),
        "squares of the halves": (values[:, :200] ** 2, values[:, 200:] ** 2),
        "streams": (values, other),
        "severity": (values, make_field("test", 1, n=400).normal(400).numpy()),
    }
    # 80,000 pairs or more: a correlation spreads by 1 / sqrt(80,000) = 0.0035
    found = {name: float(np.corrcoef(left.ravel(), right.ravel())[0, 1]) for name, (left, right) in pairs.items()}
    assert found == pytest.approx(dict.fromkeys(pairs, 0.0), abs=5 * 0.0035)
