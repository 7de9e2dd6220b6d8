"""How fast a training step is: `python -m bsd_core bench`. Needs torch, torchvision and numpy only.

ours   the trainer's whole step: batch, augmentation, method, optimiser, state, and its share of the epoch's end
bound  what no trainer can avoid: the forward and backward passes that the method makes in a step, through networks and through heads of its
       own, replayed on constant batches of the same sizes, in the same modes, with the same optimiser, precision and compilation
ratio  bound / ours by time, in rounds that alternate between the two, so that a machine whose speed drifts drifts for both

`--corruptions` times the corruptions instead.

On a GPU `limit` is the share of the arithmetic that the card does in a large matrix product of the same precision, measured in the same
run. On a CPU there is no such number: libraries convolve with fewer operations than the count says.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from bsd_core.accelerate import Runner, begin_step, keep_freed_memory
from bsd_core.checkpoint import save_weights
from bsd_core.config import AugmentConfig, TrainConfig
from bsd_core.errors import require
from bsd_core.methods import METHODS
from bsd_core.models import Network, build_model
from bsd_core.one_line_parser import OneLineParser
from bsd_core.optim import build_optimizer, set_learning_rate
from bsd_core.train import Recipe, Trainer

N_CLASSES: Final = 10


@dataclass(frozen=True)
class Spread:
    """Median and quartiles over rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """At least two values."""
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


def seconds_by_round(
    works: Mapping[str, Callable[[], object]], *, rounds: int, device: torch.device | None = None
) -> dict[str, list[float]]:
    """Pieces of work timed in turns, so that a machine whose speed drifts drifts for all of them.

    Args:
        works: by name.
        rounds: after one that warms up; every other round runs the works backwards.
        device: a GPU is waited for before and after each.

    Returns:
        By name, the seconds of each round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for index in range(rounds + 1):
        for name in list(works)[:: 1 if index % 2 else -1]:
            elapsed = _seconds(works[name], device)
            if index:
                seconds[name].append(elapsed)
    return seconds


def ratio(numerator: list[float], denominator: list[float]) -> Spread:
    """Quartiles of numerator / denominator, round by round."""
    return Spread.of([a / b for a, b in zip(numerator, denominator, strict=True)])


def _seconds(work: Callable[[], object], device: torch.device | None) -> float:
    on_gpu = device is not None and device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    if on_gpu:
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


@dataclass(frozen=True)
class StepResult:
    """One method's step.

    Attributes:
        images_per_second, bound_images_per_second: primaries, median over rounds.
        ratio: bound time / our time.
        passes: forward passes in a step, with and without gradient, in images a primary.
    """

    method: str
    images_per_second: float
    bound_images_per_second: float
    ratio: Spread
    passes: str


@dataclass(frozen=True)
class _Pass:
    """One call of a network, or of a head that a method adds, within a step."""

    module: nn.Module
    shape: tuple[int, ...]  # of its input
    trained: bool
    training_mode: bool

    @property
    def n_images(self) -> int:
        """0 for a head."""
        return self.shape[0] if isinstance(self.module, Network) else 0


@contextmanager
def _recorded(modules: list[nn.Module], calls: list[_Pass]) -> Iterator[None]:
    """Write down every call of the modules; of a network, of its features, which methods also call by themselves."""

    def spy(module: nn.Module, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def recorded(values: Tensor) -> Tensor:
            calls.append(_Pass(module, tuple(values.shape), torch.is_grad_enabled(), module.training))
            return function(values)

        return recorded

    names = ["features" if isinstance(module, Network) else "forward" for module in modules]
    for module, name in zip(modules, names, strict=True):
        setattr(module, name, spy(module, getattr(module, name)))
    try:
        yield
    finally:
        for module, name in zip(modules, names, strict=True):
            delattr(module, name)


def passes_of(recipe: Recipe, images: Tensor, given: Tensor) -> list[_Pass]:
    """The calls of networks and heads in one step of a trainer, its second: some methods look back at the step before."""
    plain = replace(recipe, train=replace(recipe.train, precision="float32", compile="off"))
    trainer = Trainer(plain, images, given, true=None, n_classes=N_CLASSES)
    calls: list[_Pass] = []
    steps: list[list[_Pass]] = []
    parts = [module for module in trainer.method.children() if next(module.parameters(), None) is not None]

    def on_step() -> None:
        steps.append(calls.copy())
        calls.clear()

    with _recorded([trainer.model, *parts], calls):
        trainer.run_epoch(on_step)
    return steps[1]


def _bound(recipe: Recipe, images: Tensor, passes: list[_Pass], n_steps: int) -> Callable[[], None]:
    """The work no trainer can avoid, `n_steps` times."""
    device, config = images.device, recipe.train
    copies: dict[nn.Module, Any] = {}
    parameters: list[nn.Parameter] = []
    for module in dict.fromkeys(call.module for call in passes):
        trained = any(call.trained for call in passes if call.module is module)
        copy = deepcopy(module).requires_grad_(trained).train(next(call.training_mode for call in passes if call.module is module))
        parameters += copy.parameters() if trained else []
        copies[module] = Runner.of(copy, config, device, 1_000_000) if isinstance(copy, Network) else copy
    inputs = {}
    for call in passes:
        values = torch.randn(call.shape, device=device)
        inputs[call.shape] = values.to(memory_format=torch.channels_last) if values.ndim == 4 else values.requires_grad_()
    labels = {call.shape[0]: torch.arange(call.shape[0], device=device) % N_CLASSES for call in passes}
    optimizer = build_optimizer(parameters, config)
    set_learning_rate(optimizer, 1e-3)

    def run() -> None:
        for _ in range(n_steps):
            begin_step()
            losses = []
            for call in passes:
                with torch.set_grad_enabled(call.trained):
                    outputs = copies[call.module](inputs[call.shape])
                    if call.trained:
                        is_network = isinstance(call.module, Network)
                        losses.append(functional.cross_entropy(outputs, labels[call.shape[0]]) if is_network else outputs.mean())
            optimizer.zero_grad(set_to_none=True)
            torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return run


def measure_step(recipe: Recipe, images: Tensor, given: Tensor, *, rounds: int) -> StepResult:
    """Whole steps of `recipe` on `images` (N, C, H, W) uint8 against their lower bound; a round is one epoch."""
    device = images.device
    torch.compiler.reset()  # graphs are counted by process, and too many are run uncompiled
    passes = passes_of(recipe, images, given)
    trainer = Trainer(recipe, images, given, true=None, n_classes=N_CLASSES)
    bound = _bound(recipe, images, passes, len(trainer.batches))
    seconds = seconds_by_round({"ours": trainer.run_epoch, "bound": bound}, rounds=rounds, device=device)
    return StepResult(
        method=recipe.method,
        images_per_second=len(images) / statistics.median(seconds["ours"]),
        bound_images_per_second=len(images) / statistics.median(seconds["bound"]),
        ratio=ratio(seconds["bound"], seconds["ours"]),
        passes=_described(passes, recipe.train.batch_size),
    )


def _described(passes: list[_Pass], batch_size: int) -> str:
    trained = sum(call.n_images for call in passes if call.trained) / batch_size
    forward = sum(call.n_images for call in passes if not call.trained) / batch_size
    heads = ", heads" if any(not call.n_images for call in passes) else ""
    return f"{trained:g} trained" + (f", {forward:g} forward" if forward else "") + heads


def benchmark_recipe(method: str, *, model: str, width: int | None, train: TrainConfig, augment: AugmentConfig, folder: Path) -> Recipe:
    """Default settings; a method with a teacher is given one, so that all of its steps are alike."""
    recipe = Recipe(method=method, settings={}, model=model, width=width, train=train, augment=augment, seed=0)
    return replace(recipe, settings={"teacher": str(folder / "teacher.pt")}) if method in ("kd", "kd_cs_kd") else recipe


def measure_methods(
    methods: list[str], images: Tensor, *, model: str, width: int | None, train: TrainConfig, augment: AugmentConfig, rounds: int
) -> Iterator[StepResult]:
    """One result a method, on random labels."""
    given = torch.arange(len(images), device=images.device) % N_CLASSES
    with tempfile.TemporaryDirectory() as name:
        size = (images.shape[2], images.shape[3])
        teacher = build_model(model, in_channels=images.shape[1], n_classes=N_CLASSES, image_size=size, width=width, seed=1)
        save_weights(Path(name) / "teacher.pt", teacher)
        for method in methods:
            recipe = benchmark_recipe(method, model=model, width=width, train=train, augment=augment, folder=Path(name))
            yield measure_step(recipe, images, given, rounds=rounds)


def arithmetic_limit(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second in a large square matrix product: what this card can do at best."""
    n = 8192
    left, right = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    times = [_seconds(lambda: left @ right, device) for _ in range(12)]
    return 2 * n**3 / min(times)


def operations_per_image(model: str, width: int | None, image_size: int) -> float:
    """Floating-point operations of one trained image, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    network = build_model(model, in_channels=3, n_classes=N_CLASSES, image_size=(image_size, image_size), width=width, seed=0).train()
    with FlopCounterMode(display=False) as counter:
        network(torch.randn(2, 3, image_size, image_size)).sum().backward()
    return float(counter.get_total_flops()) / 2


def time_to_accuracy(target: float, *, dataset: str, data_dir: str, recipe: Recipe, device: torch.device) -> tuple[float, float, int]:
    """Train until the test accuracy reaches `target` or the epochs are over: (training seconds, test accuracy, epochs)."""
    from bsd_core.data.host_images import to_device
    from bsd_core.data.sources import load_source
    from bsd_core.evaluate import headline, predict

    source = load_source(dataset, data_dir=data_dir)
    train, test = (to_device(part.images, device) for part in (source.train, source.test))
    targets = [torch.from_numpy(part.targets).to(device) for part in (source.train, source.test)]
    trainer = Trainer(replace(recipe, augment=source.augment), train, targets[0], true=None, n_classes=source.train.n_classes)
    seconds = accuracy = 0.0
    for record in trainer.records():
        seconds += record.seconds
        accuracy = headline(predict(trainer.network, test, trainer.normaliser), targets[1])["accuracy"]
        if accuracy >= target:
            break
    return seconds, accuracy, trainer.epoch


def _parser(on_gpu: bool) -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m bsd_core bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["cross_entropy", "bsd", "cs_kd"], choices=sorted(METHODS), metavar="METHOD")
    parser.add_argument("--model", default="resnet18" if on_gpu else "resnet8")
    parser.add_argument("--width", type=int)
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[128, 512] if on_gpu else [128])
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=100 if on_gpu else 12, help="of one round")
    parser.add_argument("--rounds", type=int, help="9, or 3 for --corruptions")
    parser.add_argument("--threads", type=int, default=1, help="on a CPU")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--compile", default="auto")
    parser.add_argument("--corruptions", action="store_true", help="time every corruption at every severity instead, and nothing else")
    parser.add_argument("--images", type=int, default=10_000, help="of --corruptions")
    parser.add_argument("--time-to", type=float, metavar="ACCURACY", help="train on --dataset to this test accuracy instead, e.g. 0.94")
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--epochs", type=int, default=30, help="of --time-to")
    return parser


def main(arguments: list[str]) -> None:
    """Run the benchmark and print it."""
    from bsd_core.__main__ import choose_device

    options = _parser(torch.cuda.is_available()).parse_args(arguments)
    rounds = options.rounds if options.rounds is not None else 3 if options.corruptions else 9
    require(rounds >= 2, "rounds >= 2", rounds=rounds)
    require(options.images >= 1, "images >= 1", images=options.images)
    require(options.image_size >= 1, "image_size >= 1", image_size=options.image_size)
    require(options.steps >= 2, "steps >= 2", steps=options.steps)
    require(options.threads >= 1, "threads >= 1", threads=options.threads)
    device = choose_device(options.device)
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {options.threads} threads"
    if options.corruptions:
        from bsd_core.bench_corruptions import run

        print(f"{name}, torch {torch.__version__}")
        run(n_images=options.images, size=options.image_size, device=device, rounds=rounds)
        return
    print(f"{name}, torch {torch.__version__}, {options.model}, {options.image_size} px")
    if options.time_to is not None:
        config = TrainConfig(
            epochs=options.epochs,
            batch_size=options.batch_sizes[-1],
            schedule="one_cycle",
            nesterov=True,
            precision=options.precision,
            compile=options.compile,
        )
        recipe = benchmark_recipe(
            "cross_entropy", model=options.model, width=options.width, train=config, augment=AugmentConfig(), folder=Path()
        )
        found = time_to_accuracy(options.time_to, dataset=options.dataset, data_dir=options.data_dir, recipe=recipe, device=device)
        print(f"test accuracy {found[1]:.2%} after {found[0]:.1f} s of training, {found[2]} epochs (target {options.time_to:.2%})")
        return
    limit: float | None = None
    if device.type == "cuda":
        dtype = torch.float32 if options.precision == "float32" else torch.bfloat16
        limit = arithmetic_limit(device, dtype) / operations_per_image(options.model, options.width, options.image_size)
        print(f"arithmetic limit {limit:,.0f} trained images/s ({dtype}, from a large matrix product)")
    print()
    print(f"{'batch':>5}  {'method':22}{'images/s':>10}{'bound':>10}  {'bound/ours (quartiles)':24}{'limit':>6}  passes a primary")
    for batch_size in options.batch_sizes:
        n = options.steps * batch_size
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (n, 3, options.image_size, options.image_size), dtype=torch.uint8, generator=generator).to(device)
        train = TrainConfig(epochs=100_000, batch_size=batch_size, learning_rate=0.01, precision=options.precision, compile=options.compile)
        augment = AugmentConfig(crop_padding=4, flip=True)
        for result in measure_methods(
            options.methods, images, model=options.model, width=options.width, train=train, augment=augment, rounds=rounds
        ):
            share = "" if limit is None else f"{result.images_per_second / limit:.1%}"
            ratio = f"{result.ratio.median:.2f} ({result.ratio.low:.2f} to {result.ratio.high:.2f})"
            print(
                f"{batch_size:5}  {result.method:22}{result.images_per_second:10,.0f}{result.bound_images_per_second:10,.0f}  {ratio:24}"
                f"{share:>6}  {result.passes}",
                flush=True,
            )
