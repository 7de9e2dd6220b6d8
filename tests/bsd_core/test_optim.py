from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bsd_core.config import TrainConfig
from bsd_core.optim import WeightAverage, build_optimizer, clip_gradients, set_learning_rate


def make_network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def train_one(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int, *, clip: float | None = None) -> None:
    """One step on normal inputs."""
    generator = torch.Generator().manual_seed(seed)
    optimizer.zero_grad()
    loss = model(torch.randn(16, 4, generator=generator)).square().mean()
    loss.backward()
    if clip is not None:
        clip_gradients(model.parameters(), clip)
    optimizer.step()


def tensors(model: nn.Module) -> list[Tensor]:
    return [value.clone() for value in model.state_dict().values()]


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        ({}, lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=5e-4)),
        ({"nesterov": True}, lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)),
        ({"momentum": 0.0}, lambda weights: torch.optim.SGD(weights, lr=0.1, weight_decay=5e-4)),
        ({"optimizer": "adamw"}, lambda weights: torch.optim.AdamW(weights, lr=0.1, betas=(0.9, 0.999), weight_decay=5e-4)),
    ],
)
def test_the_optimiser_steps_like_torchs_plain_one(settings: dict[str, Any], reference: Callable[..., torch.optim.Optimizer]) -> None:
    ours, theirs = make_network(), make_network()
    optimizer, plain = build_optimizer(ours.parameters(), TrainConfig(epochs=1, **settings)), reference(theirs.parameters())
    for step, rate in enumerate((0.1, 0.02, 0.3)):
        set_learning_rate(optimizer, rate)
        plain.param_groups[0]["lr"] = rate
        train_one(ours, optimizer, step)
        train_one(theirs, plain, step)
    for mine, other in zip(tensors(ours), tensors(theirs), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)


def test_the_rate_is_written_into_a_tensor_that_stays_the_same_one() -> None:
    optimizer = torch.optim.SGD(make_network().parameters(), lr=torch.tensor(0.5))
    rate = optimizer.param_groups[0]["lr"]
    set_learning_rate(optimizer, 0.25)
    assert optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == 0.25


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_on_cuda_a_step_never_waits_for_the_device(name: str) -> None:
    model = make_network().cuda()
    optimizer = build_optimizer(model.parameters(), TrainConfig(epochs=1, optimizer=name))
    average = WeightAverage(model, 0.99)
    inputs = torch.randn(16, 4, device="cuda")
    assert optimizer.param_groups[0]["lr"].is_cuda
    for mode in ("default", "error"):  # the first step allocates
        torch.cuda.set_sync_debug_mode(mode)
        try:
            set_learning_rate(optimizer, 0.01)
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            clip_gradients(model.parameters(), 1.0)
            optimizer.step()
            average.update(model)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_clipping_scales_all_gradients_together_to_the_largest_norm() -> None:
    first, second, unused = (nn.Parameter(torch.zeros(1)) for _ in range(3))
    first.grad, second.grad = torch.tensor([3.0]), torch.tensor([-4.0])
    assert float(clip_gradients([first, second, unused], 1.0)) == pytest.approx(5)  # 3, 4, 5
    assert first.grad.item() == pytest.approx(3 / 5, rel=1e-5)
    assert second.grad.item() == pytest.approx(-4 / 5, rel=1e-5)
    assert unused.grad is None
    clip_gradients([first, second], 2.0)  # a norm of 1 is left as it is
    assert first.grad.item() == pytest.approx(3 / 5, rel=1e-5)


def test_gradients_that_are_not_finite_become_nan_without_an_error() -> None:
    weights = nn.Parameter(torch.zeros(2))
    weights.grad = torch.tensor([math.inf, 1.0])
    assert float(clip_gradients([weights], 1.0)) == math.inf
    assert math.isnan(weights.grad[0].item())


def test_the_average_is_torchs_where_its_decay_is_constant() -> None:
    # A decay of 0.1 is never above (1 + n) / (10 + n), so it does not warm up.
    model = make_network()
    constant = get_ema_multi_avg_fn(0.1)  # type: ignore[no-untyped-call]
    ours, theirs = WeightAverage(model, 0.1), AveragedModel(model, multi_avg_fn=constant, use_buffers=True)
    theirs.update_parameters(model)  # its first update copies, as our construction does
    optimizer = build_optimizer(model.parameters(), TrainConfig(epochs=1))
    for step in range(5):
        train_one(model, optimizer, step)
        ours.update(model)
        theirs.update_parameters(model)
    averaged = dict(theirs.module.state_dict())
    for name, value in ours.model.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(value, averaged[name]), name
            assert not torch.equal(value, model.state_dict()[name]), name


def test_the_decay_warms_up_from_a_tenth() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average, expected = WeightAverage(model, 0.3), 0.0
    for n, value in enumerate((1.0, 2.0, 4.0, 8.0)):
        nn.init.constant_(model.weight, value)
        average.update(model)
        decay = (1 / 10, 2 / 11, 3 / 12, 0.3)[n]  # 4/13 > 0.3 ends the warm-up
        expected = decay * expected + (1 - decay) * value
        assert float(average.model.state_dict()["weight"]) == pytest.approx(expected, rel=1e-6)


def test_integer_buffers_are_copied_and_the_network_itself_is_left_alone() -> None:
    model = make_network()
    average = WeightAverage(model, 0.99)
    model.train()
    for _ in range(3):
        model(torch.randn(5, 4))
        before = tensors(model)
        average.update(model)
        assert all(torch.equal(a, b) for a, b in zip(before, tensors(model), strict=True))
    counter = average.model.get_submodule("1").num_batches_tracked
    assert isinstance(counter, Tensor)
    assert counter.item() == 3


def test_the_average_takes_no_gradients_and_stays_in_evaluation_mode() -> None:
    model = make_network().train()
    average = WeightAverage(model, 0.9)
    average.update(model)
    assert not average.model.training
    assert not any(weights.requires_grad for weights in average.model.parameters())
    assert all(weights.requires_grad for weights in model.parameters())
    assert not average.model(torch.randn(2, 4)).requires_grad


def test_a_restored_average_continues_to_the_last_bit() -> None:
    model = make_network()
    optimizer = build_optimizer(model.parameters(), TrainConfig(epochs=1))
    average = WeightAverage(model, 0.99)
    for step in range(3):
        train_one(model, optimizer, step)
        average.update(model)
    restored = WeightAverage(make_network(seed=1), 0.99)
    restored.load_state_dict(copy.deepcopy(average.state_dict()))
    for step in range(3, 6):
        train_one(model, optimizer, step, clip=0.1)
        average.update(model)
        restored.update(model)
        assert all(torch.equal(a, b) for a, b in zip(tensors(average.model), tensors(restored.model), strict=True))
