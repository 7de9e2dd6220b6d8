from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bsd_core.errors import ConfigError
from bsd_core.methods.bsd import BSDConfig
from bsd_core.methods.posterior import MEMORIES, PosteriorTable, round_stochastically
from tests._dummies import make_logits, make_targets


def make_table(
    n: int = 6, n_classes: int = 5, *, memory: str = "float32", top_k: int = 3, strength: float = 10.0, seed: int = 0
) -> PosteriorTable:
    targets = make_targets(n, n_classes)
    return PosteriorTable(targets, n_classes, prior_strength=strength, epsilon=0.25, memory=memory, top_k=top_k, seed=seed)


def whole(table: PosteriorTable) -> Tensor:
    return table.read(torch.arange(len(table.values)))


@pytest.mark.parametrize("memory", MEMORIES)
def test_the_prior_can_be_read_back(memory: str) -> None:
    expected = torch.full((6, 5), 0.25).scatter_(1, make_targets(6, 5)[:, None], 10.0)
    assert torch.equal(whole(make_table(memory=memory)), expected)  # 0.25 and 10 are exact in bfloat16


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_write_changes_its_rows_alone_and_reads_back_within_a_rounding(memory: str) -> None:
    table = make_table(memory=memory, top_k=5)
    before = whole(table)
    rows, alpha = torch.tensor([4, 1]), 3 * make_logits(2, 5).softmax(1).float()
    table.write(rows, alpha, key=("step", 0))
    assert torch.equal(whole(table)[[0, 2, 3, 5]], before[[0, 2, 3, 5]])
    assert torch.allclose(table.read(rows), alpha, rtol=0 if memory == "float32" else 2**-7)


def test_the_largest_parameters_are_kept_and_the_rest_is_spread_evenly() -> None:
    table = make_table(1, 5, memory="top_k", top_k=2)
    table.write(torch.tensor([0]), torch.tensor([[1.0, 8.0, 0.5, 4.0, 0.25]]), key=("step", 0))
    assert table.read(torch.tensor([0]))[0].tolist() == pytest.approx([1.75 / 3, 8.0, 1.75 / 3, 4.0, 1.75 / 3], rel=1e-6)
    assert table.most_probable().tolist() == [1]


def test_the_mass_of_the_others_is_kept_whatever_is_dropped() -> None:
    table = make_table(50, 40, memory="top_k", top_k=4, strength=5.0)
    alpha = 7 * make_logits(50, 40).softmax(1).float()
    table.write(torch.arange(50), alpha, key=("step", 0))
    assert torch.allclose(whole(table).sum(1), torch.full((50,), 7.0), rtol=2**-7)


@pytest.mark.parametrize("memory", MEMORIES)
def test_the_most_probable_class_is_that_of_the_whole_row(memory: str) -> None:
    table = make_table(20, 5, memory=memory)
    alpha = 9 * make_logits(20, 5, scale=4).softmax(1).float()
    table.write(torch.arange(20), alpha, key=("step", 0))
    assert torch.equal(table.most_probable(), alpha.argmax(1))


def test_stochastic_rounding_is_right_on_average_and_never_off_by_more_than_one_step() -> None:
    values = torch.full((200_000,), 100.3)  # bfloat16 has 100.0 and 100.5 beside it
    rounded = round_stochastically(values, torch.Generator().manual_seed(0)).float()
    assert set(rounded.tolist()) == {100.0, 100.5}
    # The share of 100.5 is 0.6; its standard error is 0.0011.
    assert float(rounded.mean()) == pytest.approx(100.3, abs=4 * 0.5 * 0.0011)


def test_what_bfloat16_holds_exactly_is_left_as_it_is() -> None:
    values = torch.tensor([0.0, 1.0, 0.5, 100.5, 1e-8]).to(torch.bfloat16).float()
    assert torch.equal(round_stochastically(values, torch.Generator().manual_seed(1)).float(), values)


def test_small_evidence_accumulates_in_bfloat16() -> None:
    # 300 times 0.1 on top of 100: to the nearest bfloat16 each would be lost.
    table = make_table(2_000, 2, memory="bfloat16", strength=100.0)
    rows, evidence = torch.arange(2_000), torch.tensor([0.1, 0.1])
    for step in range(300):
        table.write(rows, table.read(rows) + evidence, key=("step", step))
    label = whole(table).max(1).values
    assert float(label.mean()) == pytest.approx(130, abs=0.5)
    assert torch.equal((torch.tensor(100.0) + 0.1).to(torch.bfloat16), torch.tensor(100.0, dtype=torch.bfloat16))


@pytest.mark.parametrize("memory", ["bfloat16", "top_k"])
def test_rounding_depends_on_seed_and_key_alone(memory: str) -> None:
    alpha = 9 * make_logits(6, 5).softmax(1).float()
    tables = []
    for seed, key, writes in ((0, 1, 1), (0, 1, 3), (1, 1, 1), (0, 2, 1)):
        table = make_table(memory=memory, seed=seed)
        for earlier in range(writes - 1):
            table.write(torch.arange(6), alpha, key=("earlier", earlier))
        table.write(torch.arange(6), alpha, key=("step", key))
        tables.append(whole(table))
    assert torch.equal(tables[0], tables[1])
    assert not torch.equal(tables[0], tables[2])
    assert not torch.equal(tables[0], tables[3])


@pytest.mark.parametrize(("memory", "expected"), [("float32", 4 * 500), ("bfloat16", 2 * 500), ("top_k", 4 * 32 + 4)])
def test_bytes_a_sample(memory: str, expected: int) -> None:
    table = make_table(100, 500, memory=memory, top_k=32)
    assert table.n_bytes == 100 * expected


def test_imagenet_fits_in_a_gigabyte_and_a_half_with_the_default_of_bsd() -> None:
    table = make_table(1_281, 1000, memory="top_k", top_k=BSDConfig().top_k)  # a thousandth of its images
    assert 1000 * table.n_bytes < 1.5e9 / 4


def test_all_classes_kept_is_the_whole_table() -> None:
    table = make_table(8, 5, memory="top_k", top_k=5)
    alpha = 9 * make_logits(8, 5).softmax(1).float()
    table.write(torch.arange(8), alpha, key=("step", 0))
    assert torch.allclose(whole(table), alpha, rtol=2**-7)


@pytest.mark.parametrize(
    ("memory", "top_k", "n_classes", "message"),
    [
        ("float16", 1, 5, r"Unknown memory 'float16'.*Did you mean 'bfloat16'\?"),
        ("top_k", 0, 5, r"`1 <= top_k <= K <= 32767` must hold, but got top_k=0, K=5"),
        ("top_k", 6, 5, r"top_k=6, K=5"),
        ("top_k", 2, 40_000, r"K=40000"),
    ],
)
def test_a_memory_that_cannot_be_is_refused(memory: str, top_k: int, n_classes: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_table(2, n_classes, memory=memory, top_k=top_k)
