"""How many device hours a study takes: what it does is counted, and what each piece of that costs is timed on this machine.

Counting and arithmetic (`search_work`, `confirm_work`, `estimate`) know nothing of the timing (`measure_costs`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import torch

from bsd_core.accelerate import keep_freed_memory
from bsd_core.bench import seconds_by_round
from bsd_core.config import AugmentConfig
from bsd_core.data.sources.sizes import PUBLISHED_SIZES
from bsd_core.evaluate import measure, predict, reliability
from bsd_core.methods import method_config
from bsd_core.robustness.corruptions import corrupt
from bsd_core.robustness.perturbations import frames, n_frames
from bsd_core.train import Recipe, Trainer
from studies.prepare import PreparedStudy, confirm_plan
from studies.search import ArmSpace, split_params
from studies.spec import Arm, Augment, StudySpec


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many images a study has.

    Attributes:
        n_train, n_val, n_test: in its splits.
        image_shape: (C, H, W).
        n_classes: K.
    """

    n_train: int
    n_val: int
    n_test: int
    image_shape: tuple[int, int, int]
    n_classes: int

    @classmethod
    def of(cls, spec: StudySpec, prepared: PreparedStudy | None) -> Sizes | None:
        """Those of the data, or where these are not at hand, the published ones; None where nobody knows."""
        if prepared is not None:
            data = prepared.data
            _, channels, height, width = data.train_images.shape
            shape = (channels, height, width)
            return cls(
                n_train=len(data.train_images),
                n_val=len(data.val_images),
                n_test=prepared.n_test,
                image_shape=shape,
                n_classes=data.n_classes,
            )
        if spec.dataset not in PUBLISHED_SIZES:
            return None
        size = PUBLISHED_SIZES[spec.dataset]
        n = spec.train_images or size.n_train
        n_val = round(spec.val_fraction * n)
        channels, *published = size.image_shape
        height, width = (spec.image_size, spec.image_size) if spec.image_size else published
        return cls(
            n_train=n - n_val,
            n_val=n_val,
            n_test=size.n_test,
            image_shape=(channels, height, width),
            n_classes=spec.n_classes or size.n_classes,
        )


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a phase has its devices do.

    Attributes:
        trainings: networks that are trained.
        trained: images pushed through networks in training steps; partners and second views count as much as what they stand beside.
        predicted: images predicted as they are.
        corrupted, frames: images corrupted, or frames of a sequence made, and then predicted.
        measured: sets of predictions of which all metrics are computed.
    """

    trainings: int
    trained: float
    predicted: int
    corrupted: int
    frames: int
    measured: int


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Seconds of a device.

    Attributes:
        start: to set up one training.
        train, predict, corrupt, frame: an image.
        measure: all metrics of one set of predictions.
        on_gpu: where that was measured.
    """

    start: float
    train: float
    predict: float
    corrupt: float
    frame: float
    measure: float
    on_gpu: bool = False

    def seconds(self, work: Work) -> float:
        """What `work` takes on one device."""
        return (
            self.start * work.trainings
            + self.train * work.trained
            + self.predict * (work.predicted + work.corrupted + work.frames)
            + self.corrupt * work.corrupted
            + self.frame * work.frames
            + self.measure * work.measured
        )


@dataclass(frozen=True)
class DeviceHours:
    """Hours of one device, by phase; `confirm` at most, since an arm may have fewer points than are asked for."""

    search: float
    confirm: float

    @property
    def total(self) -> float:
        """Of both phases."""
        return self.search + self.confirm


def estimate(costs: Costs, spec: StudySpec, sizes: Sizes) -> DeviceHours:
    """The device hours of a study: its work times the costs. Devices that wait, Ray and the network between machines are left out."""
    return DeviceHours(costs.seconds(search_work(spec, sizes)) / 3600, costs.seconds(confirm_work(spec, sizes)) / 3600)


def search_work(spec: StudySpec, sizes: Sizes) -> Work:
    """Every arm's `trials`, baselines too: train, predict the validation images after every epoch, corrupt and perturb them at the end.

    With `stopping`, `trials` is a budget in full trainings, which are spent on more but shorter ones; what audits cost comes on top and is
    not counted.
    """
    shown = spec.evaluate
    n_shifts, n = len(shown.corruptions) * len(shown.severities), spec.trials * len(spec.arms)
    n_shifted = min(shown.images or sizes.n_val, sizes.n_val)
    return Work(
        trainings=n,
        trained=_trained(spec, spec.arms, sizes.n_train) * spec.trials,
        predicted=n * sizes.n_val * (spec.epochs + 1),
        corrupted=n * n_shifted * n_shifts,
        frames=n * n_shifted * sum(map(n_frames, shown.perturbations)),
        measured=n * (2 + n_shifts),  # clean images by both kinds of validation labels
    )


def confirm_work(spec: StudySpec, sizes: Sizes) -> Work:
    """As many trainings as there can be: each also predicts the test images, corrupts and perturbs them."""
    if spec.confirm is None:
        return Work(trainings=0, trained=0, predicted=0, corrupted=0, frames=0, measured=0)
    plan, each = confirm_plan(spec), n_points(spec) * spec.confirm.seeds
    n = each * len(spec.compared_arms)
    n_val = sizes.n_val if spec.confirm.train_on == "train" else 0
    n_shifted = min(spec.confirm.images or sizes.n_test, sizes.n_test)
    return Work(
        trainings=n,
        trained=_trained(spec, spec.compared_arms, sizes.n_train + sizes.n_val - n_val) * each,
        predicted=n * (n_val * (spec.epochs + 1) + sizes.n_test),
        corrupted=n * n_shifted * plan.n_shifts,
        frames=n * n_shifted * plan.n_frames,
        measured=n * (3 + plan.n_shifts),
    )


def n_points(spec: StudySpec) -> int:
    """Settings that the confirm phase takes from an arm at most."""
    if spec.confirm is None:
        return 0
    wanted = spec.confirm.at_most if spec.confirm.points == "front" else 1
    return min(wanted, spec.trials) if spec.stopping.kind == "none" else wanted


def images_per_sample(spec: StudySpec, method: str) -> tuple[float, float]:
    """The least and the most of the settings that are not searched with any one choice of those that are; the defaults first."""
    space = ArmSpace.of(spec, method)
    _, own = split_params(space.constant)
    tries = [{name: choice} for name, values in space.searched.items() for choice in getattr(values, "choices", ())]
    costs = [method_config(method, {**own, **one}).images_per_epoch for one in ({}, *tries)]
    return min(costs), max(costs)


def _trained(spec: StudySpec, arms: Iterable[Arm], n_train: int) -> float:
    """Images that one training of each arm pushes through networks in its steps."""
    of_budget = spec.budget == "images"
    return sum(spec.epochs * n_train * (1.0 if of_budget else images_per_sample(spec, arm.method)[0]) for arm in arms)


# --- what it costs

_ROUND_SECONDS: Final = 0.3  # that a round of training may take, and about a round of everything else; four rounds count
_ROUNDS: Final = 4
_VALUES: Final = 2**18  # pixel values that are corrupted to time it, 85 images of CIFAR's size
_LOGITS: Final = 2**20


def measure_costs(spec: StudySpec, sizes: Sizes) -> Costs:
    """Time the pieces of the study's work on synthetic images: on the GPU where its trials want one and there is one, else on the CPU.

    Cross-entropy stands for all methods, batches are as large as a few tenths of a second allow, nothing is compiled, and frost, whose
    textures take long to make, once, is left out of the corruptions. About three seconds in all, of a network that takes tenths of a second
    for two images more.

    Raises:
        ConfigError: a network that cannot be built for such images.
    """
    device = torch.device("cuda" if spec.gpus_per_trial and torch.cuda.is_available() else "cpu")
    keep_freed_memory()  # as trials do
    n_threads = torch.get_num_threads()
    torch.set_num_threads(threads(spec))
    try:
        start, train, trainer = _time_training(spec, sizes, device)
        rest = _time_evaluation(spec, sizes, trainer, n=_between(2, 256, _ROUND_SECONDS / train))
    finally:
        torch.set_num_threads(n_threads)
    return Costs(start=start, train=train, **rest, on_gpu=device.type == "cuda")


def threads(spec: StudySpec) -> int:
    """Threads that a trial computes with on a CPU."""
    return max(1, int(spec.cpus_per_trial))


def _time_training(spec: StudySpec, sizes: Sizes, device: torch.device) -> tuple[float, float, Trainer]:
    """(seconds to set up a training, seconds an image, the trainer), the batch as large as time allows."""
    height = sizes.image_shape[1]
    augment = AugmentConfig(crop_padding=height // 8, flip=True)
    if isinstance(spec.augment, Augment):
        augment = AugmentConfig(**spec.augment.model_dump())

    def new_trainer(batch_size: int, n_steps: int) -> Trainer:
        # The rate is too small to diverge on noise, and more epochs than are run leave no short one.
        config = replace(spec.train_config(), batch_size=batch_size, learning_rate=1e-4, epochs=1000, budget="epochs", compile="off")
        recipe = Recipe(
            method="cross_entropy", settings={}, model=spec.model, width=spec.width, stem=spec.stem, train=config, augment=augment, seed=0
        )
        images = _noise(n_steps * batch_size, sizes).to(device)
        targets = torch.arange(len(images), device=device) % sizes.n_classes
        return Trainer(recipe, images, targets, true=None, n_classes=sizes.n_classes)

    def seconds_an_epoch(trainer: Trainer, rounds: int) -> float:
        return _fastest(seconds_by_round({"train": trainer.run_epoch}, rounds=rounds, device=device))["train"]

    trainer = new_trainer(2, 1)
    an_image = seconds_an_epoch(trainer, rounds=1) / 2
    batch_size = _between(2, spec.batch_size, _ROUND_SECONDS / an_image)
    n_steps = _between(1, 8, _ROUND_SECONDS / (batch_size * an_image))
    start = _fastest(seconds_by_round({"start": lambda: new_trainer(2, 1)}, rounds=1, device=device))["start"]
    if batch_size * n_steps > 2:
        trainer = new_trainer(batch_size, n_steps)
        an_image = seconds_an_epoch(trainer, rounds=_ROUNDS) / (batch_size * n_steps)
    return start, an_image, trainer


def _time_evaluation(spec: StudySpec, sizes: Sizes, trainer: Trainer, *, n: int) -> dict[str, float]:
    """Seconds of `predict`, `corrupt`, `frame` and `measure`, as in `Costs`; `n` images are predicted."""
    device = trainer.normaliser.mean.device
    images = _noise(n, sizes).to(device)
    some = images[: _between(1, n, _VALUES / images[0].numel())]
    few = some[: max(1, len(some) // 8)]  # a sequence has some thirty frames
    corruptions, perturbations = _shifts(spec)
    n_measured = min(sizes.n_test, max(1, _LOGITS // sizes.n_classes))
    logits = torch.randn(n_measured, sizes.n_classes, dtype=torch.float64, device=device, generator=_generator(device))
    targets = torch.arange(n_measured, device=device) % sizes.n_classes

    def rows(images: torch.Tensor) -> torch.Tensor:
        return torch.arange(len(images), device=device)

    def all_metrics() -> None:
        measure(logits, targets, temperature=1.0)
        reliability(logits, targets)

    seconds = _fastest(
        seconds_by_round(
            {
                "predict": lambda: predict(trainer.network, images, trainer.normaliser),
                "corrupt": lambda: [corrupt(some, name, 3, seed=0, indices=rows(some)) for name in corruptions],
                "frame": lambda: [list(frames(few, name, seed=0, indices=rows(few))) for name in perturbations],
                "measure": all_metrics,
            },
            rounds=_ROUNDS,
            device=device,
        )
    )
    return {
        "predict": seconds["predict"] / len(images),
        "corrupt": seconds["corrupt"] / max(1, len(some) * len(corruptions)),
        "frame": seconds["frame"] / max(1, len(few) * sum(map(n_frames, perturbations))),
        "measure": seconds["measure"] * sizes.n_test / n_measured,
    }


def _shifts(spec: StudySpec) -> tuple[list[str], list[str]]:
    """All corruptions and perturbations that either phase makes, those that are slow only once left out."""
    corruptions, perturbations = list(spec.evaluate.corruptions), list(spec.evaluate.perturbations)
    if spec.confirm is not None:
        plan = confirm_plan(spec)
        corruptions += plan.corruptions
        perturbations += plan.perturbations
    return [name for name in dict.fromkeys(corruptions) if name != "frost"], list(dict.fromkeys(perturbations))


def _fastest(rounds: Mapping[str, list[float]]) -> dict[str, float]:
    """What slows the others down is something else that the machine does."""
    return {name: min(seconds) for name, seconds in rounds.items()}


def _between(low: int, high: int, value: float) -> int:
    return max(low, min(high, int(value)))


def _noise(n: int, sizes: Sizes) -> torch.Tensor:
    return torch.randint(0, 256, (n, *sizes.image_shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def _generator(device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(0)
