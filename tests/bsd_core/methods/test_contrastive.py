from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from bsd_core.errors import ConfigError
from bsd_core.methods.contrastive import contrastive_loss, mlp_head, pair_weights
from tests._dummies import PROPERTY, load_golden, make_logits


def by_loops(queries: Tensor, keys: Tensor, probs: Tensor, threshold: float) -> float:
    """The formula, pair by pair."""
    q, k = (np.clip(rows / np.linalg.norm(rows, axis=1, keepdims=True), 1e-4, 1 - 1e-4) for rows in (queries.numpy(), keys.numpy()))
    total, n = 0.0, len(q)
    for i in range(n):
        agreements = [1.0 if i == j else float(probs[i] @ probs[j]) for j in range(n)]
        weights = [agreement if agreement >= threshold else 0.0 for agreement in agreements]
        for j in range(n):
            similarity = float(q[i] @ k[j])
            distance = 2 - similarity if i == j else 2 + math.log(1 - similarity)
            total += weights[j] / sum(weights) * distance / n
    return total


def test_weights_and_loss_equal_the_golden_numbers() -> None:
    golden = load_golden("losses")
    queries, keys, logits = (torch.from_numpy(golden[name]) for name in ("ctrr_q", "ctrr_z", "logits"))
    threshold = float(golden["ctrr_tau"])
    weights = pair_weights(logits.softmax(1), threshold=threshold)
    assert np.allclose(weights.numpy(), golden["ctrr_mask"], rtol=1e-10, atol=1e-15)
    loss = contrastive_loss(queries, keys, logits.softmax(1), threshold=threshold)
    assert float(loss) == pytest.approx(float(golden["ctrr_loss"]), rel=1e-9)


@PROPERTY
@given(n=st.integers(1, 6), threshold=st.floats(0, 1), seed=st.integers(0, 20))
def test_the_loss_is_the_formula_pair_by_pair(n: int, threshold: float, seed: int) -> None:
    queries, keys = make_logits(n, 5, seed=seed), make_logits(n, 5, seed=seed + 100)
    probs = make_logits(n, 3, seed=seed + 200).softmax(1)
    assert float(contrastive_loss(queries, keys, probs, threshold=threshold)) == pytest.approx(by_loops(queries, keys, probs, threshold))


def test_pairs_by_hand() -> None:
    probs = torch.tensor([[1.0, 0.0], [0.75, 0.25], [0.0, 1.0]])
    # Agreements 0.75, 0 and 0.25; the last falls below the threshold.
    weights = pair_weights(probs, threshold=0.3)
    assert torch.allclose(weights, torch.tensor([[1 / 1.75, 0.75 / 1.75, 0], [0.75 / 1.75, 1 / 1.75, 0], [0, 0, 1]]))


def test_a_threshold_of_one_leaves_each_image_its_own_view() -> None:
    queries, keys = make_logits(4, 6), make_logits(4, 6, seed=1)
    loss = contrastive_loss(queries, keys, torch.full((4, 2), 0.5), threshold=1.0)
    q, k = (nn.functional.normalize(rows, dim=1).clamp(1e-4, 1 - 1e-4) for rows in (queries, keys))
    assert float(loss) == pytest.approx(float((2 - (q * k).sum(1)).mean()))


def test_gradients_reach_the_queries_alone() -> None:
    queries, keys = make_logits(4, 6).requires_grad_(), make_logits(4, 6, seed=1).requires_grad_()
    logits = make_logits(4, 3, seed=2).requires_grad_()
    contrastive_loss(queries, keys, logits.softmax(1), threshold=0.1).backward()  # type: ignore[no-untyped-call]
    assert queries.grad is not None
    assert bool(queries.grad.any())
    assert keys.grad is None
    assert logits.grad is None


def test_equal_embeddings_stay_finite() -> None:
    queries = torch.ones(3, 8, requires_grad=True)
    loss = contrastive_loss(queries, torch.ones(3, 8), torch.full((3, 2), 0.5), threshold=0.1)
    loss.backward()  # type: ignore[no-untyped-call]
    assert math.isfinite(float(loss.detach()))
    assert queries.grad is not None
    assert bool(torch.isfinite(queries.grad).all())


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(ConfigError, match=r"`0 <= threshold <= 1` must hold"):
        contrastive_loss(make_logits(2, 3), make_logits(2, 3), torch.full((2, 2), 0.5), threshold=threshold)


@pytest.mark.parametrize(("n_in", "n_hidden"), [(512, 2048), (128, 512), (16, 64), (2048, 2048)])
def test_heads_have_the_reference_s_widths_and_fewer_for_smaller_networks(n_in: int, n_hidden: int) -> None:
    first, *_, last = mlp_head(n_in, 128, seed=0)
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    assert (first.in_features, first.out_features, last.in_features, last.out_features) == (n_in, n_hidden, n_hidden, 128)


def test_heads_depend_on_their_seed_alone() -> None:
    before = torch.get_rng_state()
    heads = [mlp_head(4, 3, seed=seed).state_dict() for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(heads[0]["0.weight"], heads[1]["0.weight"])
    assert not torch.equal(heads[0]["0.weight"], heads[2]["0.weight"])


def test_a_head_normalises_by_the_batch_and_takes_one_image_by_the_running_statistics() -> None:
    head, twin = mlp_head(4, 3, seed=0), mlp_head(4, 3, seed=0)
    for module in twin:
        if isinstance(module, nn.BatchNorm1d):
            module.eval()
    rows = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(head(rows[:1]), twin(rows[:1]))
    assert not torch.equal(head(rows), twin(rows))
