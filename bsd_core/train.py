"""The training loop, one screen, for every method.

The training split lives on the device; nothing in a step waits for the device: losses and predictions are gathered there and read once
an epoch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bsd_core.config import AugmentConfig, TrainConfig
from bsd_core.data.augment import Normaliser
from bsd_core.data.batches import Batch, Batches
from bsd_core.errors import ConfigError, DivergedError
from bsd_core.methods import Step, build_method
from bsd_core.models import build_model
from bsd_core.seeds import derive_seed


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides a training, besides its data: equal recipe, data and machine type give equal numbers."""

    method: str
    settings: dict[str, Any]  # of the method; missing ones take their defaults
    model: str
    width: int | None  # of the CIFAR family's first stage
    train: TrainConfig
    augment: AugmentConfig
    seed: int


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch of training left behind; validation is measured apart.

    Attributes:
        epoch: 1 is the first.
        train_loss: mean total loss over the epoch's steps, each image counted once.
        train_accuracy: share of training images predicted as their given label, at the moment they were trained on.
        learning_rate: of the last step.
        label_recovery: among wrongly labelled training images, the share whose label is estimated right: by the method's own
            estimate where it keeps one (BSD's posterior), else by the prediction of this epoch; None without noise.
        memorised: among them, the share predicted as their wrong given label; None without noise.
        images_seen: images pushed through the network, partners included.
        seconds: wall time of the epoch's training.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    learning_rate: float
    label_recovery: float | None
    memorised: float | None
    images_seen: int
    seconds: float


class Trainer:
    """One network in training.

    Args:
        recipe: method, network and settings.
        images: (N, C, H, W) uint8, training images on the device to train on.
        given: (N,) int64, their labels, possibly wrong; all the method ever sees.
        true: (N,) int64, their true labels, for the record only; None where nobody knows better.
        n_classes: K.

    Raises:
        ConfigError: unknown name, a setting out of range, or fewer images than one batch.
    """

    def __init__(self, recipe: Recipe, images: Tensor, given: Tensor, *, true: Tensor | None, n_classes: int) -> None:
        config = recipe.train
        if len(images) < config.batch_size:
            raise ConfigError(
                f"The training split has {len(images)} images, fewer than one batch ({config.batch_size}). "
                "Lower batch_size or use more images."
            )
        device = images.device
        self.recipe = recipe
        self.normaliser = Normaliser.fit(images).to(device)
        self.model: nn.Module = build_model(
            recipe.model,
            in_channels=images.shape[1],
            n_classes=n_classes,
            width=recipe.width,
            seed=derive_seed(recipe.seed, "weights"),
        ).to(device)
        self.method = build_method(recipe.method, recipe.settings, targets=given, n_classes=n_classes)
        self.batches = Batches(
            images,
            given,
            n_classes=n_classes,
            batch_size=config.batch_size,
            augment=recipe.augment,
            normaliser=self.normaliser,
            needs=self.method.needs,
            seed=derive_seed(recipe.seed, "batches"),
        )
        self.optimizer = torch.optim.SGD(
            [*self.model.parameters(), *self.method.parameters()],
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            nesterov=config.nesterov,
            fused=True,
        )
        self._given, self._true = given, true
        self._predicted = given.clone()  # (N,) the latest training-time prediction for each image
        self.epoch = 0

    def run_epoch(self) -> EpochRecord:
        """Train one more epoch.

        Raises:
            DivergedError: the loss became NaN or infinite.
        """
        started = time.perf_counter()
        config, steps = self.recipe.train, len(self.batches)
        loss_sum = torch.zeros((), dtype=torch.float64, device=self._given.device)
        rate = 0.0
        self.model.train()
        for index, batch in enumerate(self.batches.epoch()):
            rate = config.learning_rate_at(self.epoch * steps + index, steps)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            step = self.method.step(self.model, batch)
            self.optimizer.zero_grad(set_to_none=True)
            step.terms["total"].backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self._record(batch, step, loss_sum)
        self.epoch += 1
        return self._summary(float(loss_sum) / len(self._given), rate, started)

    def _record(self, batch: Batch, step: Step, loss_sum: Tensor) -> None:
        loss_sum += step.terms["total"].detach() * len(batch.targets)
        self._predicted[batch.indices] = step.logits.detach().argmax(1)

    def _summary(self, loss: float, rate: float, started: float) -> EpochRecord:
        if not abs(loss) < float("inf"):  # also catches NaN
            raise DivergedError(f"The training loss was {loss} in epoch {self.epoch}.")
        recovery = memorised = None
        if self._true is not None and bool((wrong := self._given != self._true).any()):
            estimates = self.method.label_estimates()
            recovered = (self._predicted if estimates is None else estimates) == self._true
            recovery = float(recovered[wrong].double().mean())
            memorised = float((self._predicted == self._given)[wrong].double().mean())
        return EpochRecord(
            epoch=self.epoch,
            train_loss=loss,
            train_accuracy=float((self._predicted == self._given).double().mean()),
            learning_rate=rate,
            label_recovery=recovery,
            memorised=memorised,
            images_seen=len(self._given) * self.method.images_per_sample,
            seconds=time.perf_counter() - started,
        )

    def state_dict(self) -> dict[str, Any]:
        """All that an exact continuation needs, at an epoch's boundary."""
        return {
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "batches": self.batches.state_dict(),
            "predicted": self._predicted,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()` of a trainer with the same recipe and data."""
        self.epoch = int(state["epoch"])
        self.model.load_state_dict(state["model"])
        self.method.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.batches.load_state_dict(state["batches"])
        self._predicted.copy_(state["predicted"])
