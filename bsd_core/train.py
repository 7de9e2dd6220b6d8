"""The training loop, one screen, for every method.

Nothing in a step waits for the device: losses and predictions are gathered there and read once an epoch.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from bsd_core.accelerate import Runner, begin_step
from bsd_core.budget import total_steps
from bsd_core.config import AugmentConfig, TrainConfig
from bsd_core.data.augment import Normaliser
from bsd_core.data.batches import Batch, Batches, Images
from bsd_core.errors import ConfigError, DivergedError
from bsd_core.methods import Step, Training, build_method, method_config
from bsd_core.metrics.label_noise import label_recovery, memorised_fraction
from bsd_core.models import Network, build_model
from bsd_core.optim import WeightAverage, build_optimizer, clip_gradients, set_learning_rate
from bsd_core.seeds import derive_seed


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides a training, besides its data: equal recipe, data and machine type give equal numbers."""

    method: str
    settings: dict[str, Any]  # of the method; missing ones take their defaults
    model: str
    width: int | None  # of the network, where it has one
    stem: str = "auto"
    pretrained: str | None = None  # a local file of weights to start from
    train: TrainConfig
    augment: AugmentConfig
    seed: int


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch of training left behind; validation is measured apart.

    Attributes:
        epoch: 1 is the first; a budget of images can cut the last one short.
        train_loss: mean total loss over the epoch's steps, each image counted once.
        train_accuracy: share of the epoch's images predicted as their given label, at the moment they were trained on (with mixup: of
            the mixed images).
        learning_rate: of the last step.
        label_recovery: among wrongly labelled training images, the share whose label is estimated right: by the method's own
            estimate where it keeps one (BSD's posterior), else by the latest prediction; None without noise.
        memorised: among them, the share whose latest prediction is the wrong given label; None without noise.
        images_seen: images pushed through networks: partners, second views, a teacher's and clean passes included.
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


@dataclass
class _EpochSums:
    """What is gathered over the steps of an epoch."""

    loss: Tensor  # float64 scalar, on the device
    n: int = 0
    images_seen: int = 0
    learning_rate: float = 0.0
    seconds: float = 0.0


class Trainer:
    """One network in training.

    Args:
        recipe: method, network and settings.
        images: (N, C, H, W) uint8, training images on the device to train on (or read from the host, see `Images`).
        given: (N,) int64, their labels, possibly wrong; all the method ever sees.
        true: (N,) int64, their true labels, for the record only; None where nobody knows better.
        n_classes: K.

    Attributes:
        model: the network.
        step: steps done, `epoch`: epochs done; a state can be saved after any step.

    Raises:
        ConfigError: unknown name, a setting out of range, or fewer images than one batch.
    """

    def __init__(self, recipe: Recipe, images: Images, given: Tensor, *, true: Tensor | None, n_classes: int) -> None:
        config = recipe.train
        if len(images) < config.batch_size:
            raise ConfigError(
                f"The training split has {len(images)} images, fewer than one batch ({config.batch_size}). "
                "Lower batch_size or use more images."
            )
        self.recipe, self._images, self._given, self._true = recipe, images, given, true
        device = images.device
        sample = images[torch.zeros(1, dtype=torch.int64, device=device)]
        self._sample_shape = tuple(sample.shape[1:])

        def new_network(seed: int, *, pretrained: str | None = None) -> Network:
            return build_model(
                recipe.model,
                in_channels=sample.shape[1],
                n_classes=n_classes,
                image_size=(sample.shape[2], sample.shape[3]),
                width=recipe.width,
                stem=recipe.stem,
                pretrained=pretrained,
                seed=seed,
            ).to(device)

        self.normaliser = Normaliser.fit(images).to(device)
        self.model = new_network(derive_seed(recipe.seed, "weights"), pretrained=recipe.pretrained)
        settings = method_config(recipe.method, recipe.settings)
        self._clean_passes = "clean_pass" in settings.needs
        self.batches = Batches(
            images,
            given,
            n_classes=n_classes,
            batch_size=config.batch_size,
            augment=recipe.augment,
            normaliser=self.normaliser,
            needs=settings.needs,
            seed=derive_seed(recipe.seed, "batches"),
        )
        self.total_steps = total_steps(config, self.batches.sizes, settings)
        self.method = build_method(
            recipe.method,
            recipe.settings,
            Training(
                targets=given,
                n_classes=n_classes,
                total_steps=self.total_steps,
                steps_per_epoch=len(self.batches),
                seed=derive_seed(recipe.seed, "method"),
                network=self.model,
                new_network=new_network,
                runner=lambda network: Runner.of(network, config, device, self.total_steps),
            ),
        )
        self._stages = self.method.stages(self.total_steps)
        self._parameters = [*self.model.parameters(), *self.method.parameters()]
        self.optimizer = build_optimizer(self._parameters, config)
        self._average = None if config.ema_decay is None else WeightAverage(self.model, config.ema_decay)
        self._runner = Runner.of(self.model, config, device, self.total_steps)
        self._predicted = torch.full_like(given, -1)  # (N,) the latest training-time prediction for each image
        self.epoch = 0
        self._sums = self._no_sums()

    @property
    def identity(self) -> str:
        """What a saved state belongs to: the recipe with all settings, the device, the images' shape and statistics, and the given labels,
        as JSON.
        """
        labels = hashlib.blake2b(self._given.cpu().numpy().tobytes(), digest_size=8).hexdigest()
        images = {
            "shape": [len(self._images), *self._sample_shape],
            "mean": self.normaliser.mean.tolist(),
            "std": self.normaliser.std.tolist(),
        }
        recipe = {**asdict(self.recipe), "settings": asdict(self.method.config)}
        return json.dumps({**recipe, "device": self._given.device.type, "images": images, "labels": labels}, sort_keys=True)

    @property
    def step(self) -> int:
        """Steps done."""
        return self.batches.step

    @property
    def epochs(self) -> int:
        """Epochs this training has, the last perhaps cut short."""
        return math.ceil(self.total_steps / len(self.batches))

    @property
    def network(self) -> Network:
        """What is to be evaluated: the average of the weights where one is kept, a teacher while it is trained first."""
        trained = self.method.trained_network(self.model)
        return self._average.model if self._average is not None and trained is self.model else trained

    def run_epoch(self, on_step: Callable[[], None] | None = None) -> EpochRecord:
        """Train one more epoch, or what is left of one that was begun.

        Args:
            on_step: called after every step; the state may be saved there.

        Raises:
            DivergedError: the loss became NaN or infinite.
        """
        started = time.perf_counter() - self._sums.seconds
        self.model.train()
        self.method.train()
        end = min((self.epoch + 1) * len(self.batches), self.total_steps)
        while self.step < end:
            begin_step()
            self._train_step(self.batches.next())
            self._sums.seconds = time.perf_counter() - started
            if on_step is not None:
                on_step()
        if self._clean_passes and end == (self.epoch + 1) * len(self.batches):
            self._clean_pass()
        self.epoch += 1
        return self._summary(started)

    def _train_step(self, batch: Batch) -> None:
        sums = self._sums
        sums.learning_rate = self._learning_rate(batch.step)
        set_learning_rate(self.optimizer, sums.learning_rate)
        step = self.method.step(self._runner, batch)
        self.optimizer.zero_grad(set_to_none=True)
        step.terms["total"].backward()  # type: ignore[no-untyped-call]
        self.method.after_backward()
        if self.recipe.train.gradient_clip is not None:
            clip_gradients(self._parameters, self.recipe.train.gradient_clip)
        self.optimizer.step()
        if self._average is not None and self.method.trained_network(self.model) is self.model:
            self._average.update(self.model)
        self._record(batch, step)

    def _record(self, batch: Batch, step: Step) -> None:
        sums = self._sums
        self._predicted[batch.indices] = step.logits.detach().argmax(1)
        sums.loss += step.terms["total"].detach() * len(batch.targets)
        sums.n += len(batch.targets)
        sums.images_seen += step.images_seen

    def _learning_rate(self, step: int) -> float:
        """Each stage has a schedule of its own."""
        for length in self._stages:
            if step < length:
                break
            step -= length
        return self.recipe.train.learning_rate_at(step, total_steps=length)

    @torch.no_grad()
    def _clean_pass(self) -> None:
        self.model.eval()
        for chunk, rows in enumerate(torch.split(torch.arange(len(self._images), device=self._given.device), 512)):
            logits = self.model(self.normaliser(self._images[rows]))
            self.method.observe(rows, logits, epoch=self.epoch, chunk=chunk)
        self._sums.images_seen += len(self._images)

    def _summary(self, started: float) -> EpochRecord:
        sums, self._sums = self._sums, self._no_sums()
        loss = float(sums.loss) / sums.n
        if not math.isfinite(loss):
            raise DivergedError(f"The training loss was {loss} in epoch {self.epoch}.")
        rows = self.batches.rows_of_epoch
        recovery = memorised = None
        if self._true is not None:
            seen = self._predicted >= 0  # a first epoch can be cut short
            estimates = self.method.label_estimates()
            predicted, true, given = self._predicted[seen], self._true[seen], self._given[seen]
            recovery = label_recovery(predicted if estimates is None else estimates[seen], true, given)
            memorised = memorised_fraction(predicted, true, given)
        return EpochRecord(
            epoch=self.epoch,
            train_loss=loss,
            train_accuracy=float((self._predicted[rows] == self._given[rows]).double().mean()),
            learning_rate=sums.learning_rate,
            label_recovery=recovery,
            memorised=memorised,
            images_seen=sums.images_seen,
            seconds=time.perf_counter() - started,
        )

    def _no_sums(self) -> _EpochSums:
        return _EpochSums(torch.zeros((), dtype=torch.float64, device=self._given.device))

    def records(self, on_step: Callable[[], None] | None = None) -> Iterator[EpochRecord]:
        """Train to the end, epoch by epoch; `on_step` as in `run_epoch`."""
        while self.epoch < self.epochs:
            yield self.run_epoch(on_step)

    def state_dict(self) -> dict[str, Any]:
        """All that an exact continuation needs, after any step; tensors are the trainer's own, so save before the next step."""
        return {
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
            "batches": self.batches.state_dict(),
            "predicted": self._predicted,
            "sums": dict(vars(self._sums)),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()` of a trainer with the same recipe and data."""
        self.epoch = int(state["epoch"])
        self.model.load_state_dict(state["model"])
        self.method.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self.batches.load_state_dict(state["batches"])
        self._predicted.copy_(state["predicted"])
        self._sums = _EpochSums(**state["sums"])
        self._sums.loss = self._sums.loss.to(self._given.device)
