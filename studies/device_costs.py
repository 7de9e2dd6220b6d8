"""What the pieces of a study's work cost on this machine, timed on synthetic images of its shape."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import torch

from bsd_core.accelerate import keep_freed_memory
from bsd_core.config import AugmentConfig
from bsd_core.evaluate import measure, predict, reliability
from bsd_core.robustness.corruptions import corrupt
from bsd_core.robustness.perturbations import frames, n_frames
from bsd_core.train import Recipe, Trainer
from studies.device_hours import Costs, Sizes
from studies.prepare import confirm_plan
from studies.spec import Augment, StudySpec

_ROUND_SECONDS: Final = 0.3  # that a round of training may take, and about a round of everything else
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

    trainer = new_trainer(2, 1)
    an_image = _fastest(trainer.run_epoch, device, rounds=1) / 2
    batch_size = _between(2, spec.batch_size, _ROUND_SECONDS / an_image)
    n_steps = _between(1, 32, _ROUND_SECONDS / (batch_size * an_image))
    start = _fastest(lambda: new_trainer(2, 1), device, rounds=1)
    if batch_size * n_steps > 2:
        trainer = new_trainer(batch_size, n_steps)
        an_image = _fastest(trainer.run_epoch, device) / (batch_size * n_steps)
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

    def corrupt_all() -> None:
        for name in corruptions:
            corrupt(some, name, 3, seed=0, indices=torch.arange(len(some), device=device))

    def perturb_all() -> None:
        for name in perturbations:
            list(frames(few, name, seed=0, indices=torch.arange(len(few), device=device)))

    def all_metrics() -> None:
        measure(logits, targets, temperature=1.0)
        reliability(logits, targets)

    return {
        "predict": _fastest(lambda: predict(trainer.network, images, trainer.normaliser), device) / n,
        "corrupt": _fastest(corrupt_all, device) / (len(some) * len(corruptions)) if corruptions else 0.0,
        "frame": _fastest(perturb_all, device) / (len(few) * sum(map(n_frames, perturbations))) if perturbations else 0.0,
        "measure": _fastest(all_metrics, device) * sizes.n_test / n_measured,
    }


def _shifts(spec: StudySpec) -> tuple[list[str], list[str]]:
    """All corruptions and perturbations that either phase makes, those that are slow only once left out."""
    corruptions, perturbations = list(spec.evaluate.corruptions), list(spec.evaluate.perturbations)
    if spec.confirm is not None:
        plan = confirm_plan(spec)
        corruptions += plan.corruptions
        perturbations += plan.perturbations
    return [name for name in dict.fromkeys(corruptions) if name != "frost"], list(dict.fromkeys(perturbations))


def _fastest(work: Callable[[], object], device: torch.device, *, rounds: int = 4) -> float:
    """Seconds of the fastest of some rounds, after one that warms up; on a CPU of computing, so that other programs do not count."""
    seconds = []
    for _ in range(rounds + 1):
        started = _now(device)
        work()
        seconds.append(_now(device) - started)
    return min(seconds[1:])


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time() / torch.get_num_threads()


def _between(low: int, high: int, value: float) -> int:
    return max(low, min(high, int(value)))


def _noise(n: int, sizes: Sizes) -> torch.Tensor:
    return torch.randint(0, 256, (n, *sizes.image_shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def _generator(device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(0)
