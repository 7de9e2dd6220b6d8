"""The optimiser of a recipe, its learning rate, gradient clipping, and the running average of the weights.

Nothing here waits for the device: on a GPU the learning rate is a tensor there, which a captured graph or a compiled step reads anew
every time, and the gradient norm is never brought to the host.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from bsd_core.config import TrainConfig

N = TypeVar("N", bound=nn.Module)


def build_optimizer(parameters: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """Fused SGD or AdamW with the rate, momentum and weight decay of `config`, for parameters on one device.

    On a CUDA device the learning rate is a float32 tensor there (`set_learning_rate` writes it) and AdamW can be captured in a graph.

    Args:
        parameters: at least one; weight decay applies to all of them, biases and normalisation included, as in the references.

    Raises:
        ValueError: no parameters (from torch).
    """
    parameters = list(parameters)
    on_cuda = bool(parameters) and parameters[0].is_cuda
    rate = torch.tensor(config.learning_rate, device=parameters[0].device) if on_cuda else config.learning_rate
    if config.optimizer == "adamw":
        betas = (config.momentum, 0.999)
        return torch.optim.AdamW(parameters, lr=rate, betas=betas, weight_decay=config.weight_decay, fused=True, capturable=on_cuda)
    return torch.optim.SGD(
        parameters, lr=rate, momentum=config.momentum, weight_decay=config.weight_decay, nesterov=config.nesterov, fused=True
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The rate of the next step, in every parameter group; written in place where it is a tensor."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
    """Scale all gradients together, in place, so that their joint L2 norm is at most `max_norm`.

    Gradients that are NaN or infinite become NaN rather than an error, since looking would wait for the device: the loss shows it.

    Args:
        parameters: those without a gradient count nothing.
        max_norm: > 0.

    Returns:
        Scalar: the norm before clipping.
    """
    return nn.utils.clip_grad_norm_(list(parameters), max_norm, error_if_nonfinite=False, foreach=True)


class WeightAverage(Generic[N]):
    """An exponential moving average of a network's weights, kept in a frozen copy of it.

    average <- d * average + (1 - d) * weights,  d = min(decay, (1 + n) / (10 + n)) at the n-th update, n = 0 first.

    The decay warms up as in TensorFlow's ExponentialMovingAverage: a short training is not held back by its random start. Floating-point
    buffers (the running statistics of batch normalisation) are averaged too, integer ones copied.

    Same as / different from torch's `AveragedModel` with `use_buffers=True`: the same average where d is constant; it starts from the
    weights at construction instead of those at the first update, and counts updates on the host, so that an update never waits.

    Args:
        model: the network in training, before it is compiled or captured; it is copied.
        decay: in [0, 1); 0 copies the latest weights.

    Attributes:
        model: the averaged network, in evaluation mode, without gradients.
    """

    def __init__(self, model: N, decay: float) -> None:
        self.model: N = copy.deepcopy(model).requires_grad_(False).eval()
        self._decay = decay
        self._updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights of `model` after a step."""
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        floats: tuple[list[Tensor], list[Tensor]] = ([], [])
        for average, current in zip(_tensors(self.model), _tensors(model), strict=True):
            if average.is_floating_point():
                floats[0].append(average)
                floats[1].append(current.detach())
            else:
                average.copy_(current)
        get_ema_multi_avg_fn(decay)(*floats, None)  # type: ignore[no-untyped-call]
        self._updates += 1

    def state_dict(self) -> dict[str, Any]:
        """The average and the number of updates behind it."""
        return {"model": self.model.state_dict(), "updates": self._updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()` of an average of the same network."""
        self.model.load_state_dict(state["model"])
        self._updates = int(state["updates"])


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
