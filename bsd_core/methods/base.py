"""What a method is: it turns a batch into named loss terms, and may keep state of its own, by sample."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from bsd_core.data.batches import Batch
from bsd_core.errors import ConfigError, unknown_name


@dataclass(frozen=True)
class Step:
    """What a method makes of a batch.

    Attributes:
        logits: (B, K) of the primaries, from the pass that is trained.
        terms: named scalar loss terms; "total" is the one that is differentiated.
    """

    logits: Tensor
    terms: dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class MethodConfig:
    """Base of every method's settings: frozen, typed, checked when built."""


class Method(nn.Module):
    """One training method. State that lasts over batches is a buffer, so it follows the device and is saved with checkpoints.

    A method sees the given labels, never the true ones.

    Args:
        config: the method's settings, an instance of `Config`.
        targets: (N,) int64, given labels of the training split; row i belongs to `batch.indices == i`.
        n_classes: K.
    """

    Config: ClassVar[type[MethodConfig]]
    needs: ClassVar[frozenset[str]] = frozenset()  # extra parts of a batch: "partner"
    images_per_sample: ClassVar[int] = 1  # images pushed through the network for each primary

    def __init__(self, config: MethodConfig, targets: Tensor, n_classes: int) -> None:
        super().__init__()
        self.config = config

    def step(self, model: nn.Module, batch: Batch) -> Step:
        """Forward pass(es), update of own state, loss terms."""
        raise TypeError(f"{type(self).__name__} does not define step().")

    def label_estimates(self) -> Tensor | None:
        """(N,) int64, the method's own estimate of each training label, or None where it keeps none."""
        return None


def build_config(config_type: type[MethodConfig], name: str, settings: dict[str, Any]) -> MethodConfig:
    """`config_type(**settings)`, with unknown and wrongly typed settings refused by name."""
    fields = {field.name: field for field in dataclasses.fields(config_type)}
    for key, value in settings.items():
        if key not in fields:
            if not fields:
                raise ConfigError(f"Method {name!r} has no settings, but got {key}={value!r}.")
            raise unknown_name(f"{name} setting", key, fields)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"Setting {key!r} of {name!r} must be a number, but got {value!r}.")
    return config_type(**settings)
