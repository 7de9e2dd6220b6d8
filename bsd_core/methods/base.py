"""What a method is: it turns a batch into named loss terms, and may keep state of its own, by sample."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from bsd_core.data.batches import Batch
from bsd_core.errors import ConfigError, unknown_name
from bsd_core.models import Network


class Model(Protocol):
    """A network as methods call it."""

    def __call__(self, images: Tensor, /) -> Tensor:
        """(N, C, H, W) -> (N, K) logits; the same as `classifier(features(images))`."""

    def features(self, images: Tensor, /) -> Tensor:
        """(N, C, H, W) -> (N, D)."""

    def classifier(self, features: Tensor, /) -> Tensor:
        """(N, D) -> (N, K) logits."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a method may know of the training it is part of.

    Attributes:
        targets: (N,) int64, given labels of the training split, on its device; row i belongs to `batch.indices == i`.
        n_classes: K.
        total_steps: of the whole training.
        steps_per_epoch: of a whole epoch; the last one may be cut short by a budget.
        seed: of whatever the method draws. A draw is keyed by (seed, purpose, batch.step), so that there is no stream to save.
        network: the one in training; to be read or copied when a method is built, never changed.
        new_network: a freshly initialised network of the same kind, for a seed.
        runner: how a network of the method's own is to be called (mixed precision, compiled); by default as it is.
    """

    targets: Tensor
    n_classes: int
    total_steps: int
    steps_per_epoch: int
    seed: int
    network: Network
    new_network: Callable[[int], Network]
    runner: Callable[[Network], Model] = lambda network: network

    @property
    def epochs(self) -> int:
        """Epochs begun, the last of them perhaps cut short."""
        return math.ceil(self.total_steps / self.steps_per_epoch)


@dataclass(frozen=True)
class Step:
    """What a method makes of a batch.

    Attributes:
        logits: (B, K) of the primaries, from the pass that is trained.
        terms: named scalar loss terms; "total" is the one that is differentiated.
        images_seen: images pushed through a network, with or without gradient.
    """

    logits: Tensor
    terms: dict[str, Tensor]
    images_seen: int


@dataclass(frozen=True, kw_only=True)
class MethodConfig:
    """Base of every method's settings: frozen, typed, checked when built. A setting is a number or a text."""

    @property
    def needs(self) -> frozenset[str]:
        """Parts of a batch besides images and labels (see `Batch`), and `clean_pass`, which is a call of `Method.observe`."""
        return frozenset()

    @property
    def images_per_sample(self) -> float:
        """Images pushed through networks for each primary in the steps of a training, on average; a clean pass is not in it."""
        return 1.0

    def images_seen(self, n_steps: int, primaries: Callable[[int], int]) -> float:
        """Images pushed through networks by a training of `n_steps`, clean passes apart; never fewer than they really are.

        Args:
            n_steps: of the whole training.
            primaries: images in that many first batches.
        """
        return self.images_per_sample * primaries(n_steps)

    @property
    def images_per_epoch(self) -> float:
        """The same with the clean pass, for a whole epoch."""
        return self.images_per_sample + ("clean_pass" in self.needs)


class Method(nn.Module):
    """One training method.

    State that lasts over batches is a buffer, so it follows the device and is saved with checkpoints; parameters are trained by the
    network's optimiser. A method sees the given labels, never the true ones.
    """

    Config: ClassVar[type[MethodConfig]]

    def __init__(self, config: MethodConfig, training: Training) -> None:
        super().__init__()
        self.config = config

    def step(self, model: Model, batch: Batch) -> Step:
        """Forward pass(es), update of own state, loss terms.

        Args:
            model: the network, in training mode.
            batch: with what `config.needs` asks for.
        """
        raise TypeError(f"{type(self).__name__} does not define step().")

    def after_backward(self) -> None:
        """Called once the gradients are there, before the optimiser: for state that learns by gradients of its own."""

    def observe(self, indices: Tensor, logits: Tensor, *, epoch: int, chunk: int) -> None:
        """A clean pass at the end of each whole epoch, for methods that need `clean_pass`: in chunks, in evaluation mode.

        Args:
            indices: (B,) int64 rows of the training split.
            logits: (B, K) of those images without augmentation.
            epoch: zero-based, the one that ends.
            chunk: zero-based, within the pass.
        """
        raise TypeError(f"{type(self).__name__} does not define observe().")

    def stages(self, total_steps: int) -> tuple[int, ...]:
        """Lengths in steps of the parts of a training, each with a learning rate schedule of its own; their sum is `total_steps`."""
        return (total_steps,)

    def trained_network(self, network: Network) -> Network:
        """The network that is being trained now; a method that first trains a teacher answers with it."""
        return network

    def label_estimates(self) -> Tensor | None:
        """(N,) int64, the method's own estimate of each training label, or None where it keeps none."""
        return None


class LogitsMethod(Method):
    """A method whose loss needs the logits and the labels of one pass, and nothing else."""

    def loss(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """(B, K) logits and (B,) labels -> named scalar terms, "total" among them, means over the batch."""
        raise TypeError(f"{type(self).__name__} does not define loss().")

    def step(self, model: Model, batch: Batch) -> Step:
        """One forward pass."""
        logits = model(batch.images)
        return Step(logits, self.loss(logits, batch.targets), len(batch.images))


def build_config(config_type: type[MethodConfig], name: str, settings: dict[str, Any]) -> MethodConfig:
    """`config_type(**settings)`, with unknown and wrongly typed settings refused by name. A whole number does for a fraction."""
    fields = {field.name: field for field in dataclasses.fields(config_type)}
    values: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in fields:
            if not fields:
                raise ConfigError(f"Method {name!r} has no settings, but got {key}={value!r}.")
            raise unknown_name(f"{name} setting", key, fields)
        values[key] = _typed(key, name, value, type(fields[key].default))
    return config_type(**values)


def _typed(key: str, name: str, value: Any, wanted: type) -> Any:
    """`value` as the type of the setting's default: float, int or str."""
    if wanted is str:
        if not isinstance(value, str):
            raise ConfigError(f"Setting {key!r} of {name!r} must be a text, but got {value!r}.")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"Setting {key!r} of {name!r} must be a number, but got {value!r}.")
    if isinstance(value, int) and abs(value) > 2**53:
        raise ConfigError(f"Setting {key!r} of {name!r} must be at most 2^53, but got a number of {len(str(value))} digits.")
    if wanted is int and value != int(value if math.isfinite(value) else 0):
        raise ConfigError(f"Setting {key!r} of {name!r} must be a whole number, but got {value!r}.")
    return wanted(value)
