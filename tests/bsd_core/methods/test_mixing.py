from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from bsd_core.errors import ConfigError
from bsd_core.methods.mixing import draw_mix, mix, mixup_loss
from tests._dummies import PROPERTY, load_golden, make_logits, make_targets

CPU = torch.device("cpu")


def test_the_loss_equals_the_golden_number() -> None:
    golden = load_golden("losses")
    logits, targets = torch.from_numpy(golden["logits"]), torch.from_numpy(golden["labels"])
    loss = mixup_loss(logits, targets, targets[torch.from_numpy(golden["mixup_perm"])], float(golden["mixup_lam"]))
    assert float(loss) == pytest.approx(float(golden["mixup"]), rel=1e-12)


def test_the_gradient_is_probs_minus_the_mixed_label() -> None:
    logits, targets, others = make_logits(6, 4).requires_grad_(), make_targets(6, 4), make_targets(6, 4, seed=1)
    (gradient,) = torch.autograd.grad(mixup_loss(logits, targets, others, 0.3), logits)
    label = 0.3 * functional.one_hot(targets, 4).double() + 0.7 * functional.one_hot(others, 4).double()
    assert torch.allclose(gradient, (logits.detach().softmax(1) - label) / 6, rtol=1e-10, atol=1e-15)


def test_images_are_mixed_by_their_share() -> None:
    images = torch.tensor([0.0, 1.0, 10.0]).reshape(3, 1, 1, 1)
    assert mix(images, torch.tensor([2, 1, 0]), 0.75).flatten().tolist() == [2.5, 1.0, 7.5]


def test_a_share_of_one_changes_no_bit_and_a_share_of_none_permutes() -> None:
    images, permutation = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 2, 3, 0])
    assert torch.equal(mix(images, permutation, 1.0), images)
    assert torch.equal(mix(images, permutation, 0.0), images[permutation])


@PROPERTY
@given(seed=st.integers(0, 9), step=st.integers(0, 999), n=st.integers(1, 40), alpha=st.floats(0.05, 20))
def test_a_draw_is_a_share_and_a_permutation_that_seed_and_step_decide(seed: int, step: int, n: int, alpha: float) -> None:
    lam, permutation = draw_mix(seed, step, n, alpha, CPU)
    assert 0 <= lam <= 1
    assert sorted(permutation.tolist()) == list(range(n))
    again, same = draw_mix(seed, step, n, alpha, CPU)
    assert lam == again
    assert torch.equal(permutation, same)


def test_other_seeds_and_steps_draw_otherwise() -> None:
    draws = [draw_mix(seed, step, 50, 1.0, CPU) for seed, step in ((0, 0), (0, 1), (1, 0))]
    assert len({lam for lam, _ in draws}) == 3
    assert len({tuple(permutation.tolist()) for _, permutation in draws}) == 3


def test_shares_follow_the_beta_distribution() -> None:
    shares = np.array([draw_mix(0, step, 1, 0.4, CPU)[0] for step in range(4000)])
    # Beta(a, a): mean 1/2, variance 1 / (4 (2a + 1)) = 0.139
    assert shares.mean() == pytest.approx(0.5, abs=0.02)
    assert shares.var() == pytest.approx(1 / (4 * 1.8), abs=0.005)


def test_alpha_zero_mixes_nothing_and_a_negative_one_is_refused() -> None:
    assert draw_mix(0, 0, 4, 0.0, CPU)[0] == 1.0
    with pytest.raises(ConfigError, match=r"`alpha >= 0` must hold, but got alpha=-1\.0"):
        draw_mix(0, 0, 4, -1.0, CPU)
