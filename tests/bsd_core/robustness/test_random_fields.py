from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import stats

from bsd_core.robustness.random_fields import RandomField, normal_quantiles
from tests._dummies import Float64


def make_field(*names: object, n: int = 64, start: int = 0) -> RandomField:
    return RandomField(*(names or ("test",)), indices=torch.arange(start, start + n))


def correlation(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> float:
    return float(np.corrcoef(left.ravel(), right.ravel())[0, 1])


def test_a_value_depends_on_the_name_and_the_image_index_alone() -> None:
    whole = make_field(n=50).normal(7)
    rows = torch.tensor([31, 4, 4, 49])
    assert torch.equal(RandomField("test", indices=rows).normal(7), whole[rows])


@pytest.mark.parametrize("draw", ["bits", "halves", "uniform", "normal"])
def test_longer_draws_begin_with_the_shorter_ones(draw: str) -> None:
    whole = getattr(make_field(), draw)(101)
    for n in (0, 1, 30, 31, 100):
        part = getattr(make_field(), draw)(n)
        assert part.shape == (64, n)
        assert part.is_contiguous()
        assert torch.equal(part, whole[:, :n])


def test_no_images_have_no_numbers() -> None:
    assert make_field(n=0).normal(5).shape == (0, 5)


def test_names_streams_and_large_indices_give_different_numbers() -> None:
    draws = [
        make_field(0, "noise", 1).bits(16),
        make_field(1, "noise", 1).bits(16),
        make_field(0, "noise", 2).bits(16),
        make_field(0, "other", 1).bits(16),
        make_field(0, "noise", 1).bits(16, stream=1),
        make_field(0, "noise", 1).bits(16, stream=-1),
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


def test_bits_are_independent_of_each_other_and_of_their_neighbours() -> None:
    bits = make_field(n=200).bits(501).numpy().view(np.uint32)
    signs = np.stack([((bits >> bit) & 1) * 2.0 - 1 for bit in range(32)])  # (32, 200, 501)
    here, next_position, next_image = signs[:, :-1, :-1], signs[:, :-1, 1:], signs[:, 1:, :-1]
    n = here[0].size
    for there in (here, next_position, next_image):
        products = here.reshape(32, n) @ there.reshape(32, n).T / n
        if there is here:
            np.fill_diagonal(products, 0)
        # 1,024 means of 100,000 signs: the largest of them is rarely beyond 5 spreads
        assert np.abs(products).max() < 5 / np.sqrt(n)


def test_halves_are_uniform_integers_and_the_two_of_a_pair_are_independent() -> None:
    halves = make_field(n=100).halves(4000).numpy()
    assert halves.min() >= 0
    assert halves.max() < 2**16
    cells = (halves[:, ::2] >> 12) * 16 + (halves[:, 1::2] >> 12)  # top 4 bits of both: 256 cells, 781 pairs expected in each
    assert stats.chisquare(np.bincount(cells.ravel(), minlength=256)).pvalue > 0.001


def test_uniform_numbers_are_uniform_and_inside_zero_and_one() -> None:
    values = make_field(n=100).uniform(2000)
    assert values.dtype == torch.float32
    assert float(values.min()) > 0
    assert float(values.max()) < 1
    assert stats.kstest(values.flatten().numpy().astype(np.float64), "uniform").pvalue > 0.001


@pytest.mark.parametrize(("bits", "expected"), [(-(2**31), 2.0**-24), (-1, 0.5 - 2.0**-24), (0, 0.5 + 2.0**-24), (2**31 - 1, 1 - 2.0**-24)])
def test_uniform_numbers_keep_off_both_ends(monkeypatch: pytest.MonkeyPatch, bits: int, expected: float) -> None:
    field = make_field(n=1)
    monkeypatch.setattr(field, "bits", lambda n, stream: torch.tensor([[bits]], dtype=torch.int32))
    assert field.uniform(1).item() == expected


def test_normal_numbers_are_standard_normal() -> None:
    values = make_field(n=100).normal(2001)
    assert values.shape == (100, 2001)
    assert values.dtype == torch.float32
    assert stats.kstest(values.flatten().numpy().astype(np.float64), "norm").pvalue > 0.001


def test_the_table_of_the_normal_law_has_its_moments_and_limits() -> None:
    table: Float64 = normal_quantiles(torch.device("cpu")).numpy().astype(np.float64)
    assert np.array_equal(table, -table[::-1])
    assert (np.diff(table) > 0).all()
    assert (table**2).mean() == pytest.approx(1, abs=1e-7)
    assert (table**4).mean() == pytest.approx(2.9992, abs=1e-4)
    assert table[-1] == pytest.approx(4.325, abs=0.001)
    assert table[-1] - table[-2] == pytest.approx(0.249, abs=0.001)


def test_each_image_has_a_sample_of_its_own() -> None:
    means = make_field(n=2000).normal(400).numpy().mean(axis=1) * np.sqrt(400)
    assert stats.kstest(means.astype(np.float64), "norm").pvalue > 0.001


def test_images_positions_streams_and_seeds_are_uncorrelated() -> None:
    field = make_field(n=400)
    values = field.normal(400).numpy()
    rows = values.reshape(400, 20, 20)
    pairs = {
        "next image": (values[:-1], values[1:]),
        "next position": (values[:, :-1], values[:, 1:]),
        "halves of one hash": (values[:, ::2], values[:, 1::2]),
        "their squares": (values[:, ::2] ** 2, values[:, 1::2] ** 2),
        "row below": (rows[:, 1:], rows[:, :-1]),
        "streams": (values, field.normal(400, stream=1).numpy()),
        "severity": (values, make_field("test", 1, n=400).normal(400).numpy()),
    }
    # 80,000 pairs or more: a correlation spreads by 1 / sqrt(80,000) = 0.0035
    found = {name: correlation(left, right) for name, (left, right) in pairs.items()}
    assert found == pytest.approx(dict.fromkeys(pairs, 0.0), abs=5 * 0.0035)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cpu_and_gpu_draw_the_same_numbers() -> None:
    indices = torch.arange(100)
    for draw in ("bits", "halves", "uniform", "normal"):
        on_gpu = getattr(RandomField("test", indices=indices.cuda()), draw)(1001)
        assert torch.equal(on_gpu.cpu(), getattr(RandomField("test", indices=indices), draw)(1001)), draw
