"""Images/s of CS-KD's published training step, rebuilt from its description, against ours, in one run.

published: images as PIL objects, cropped, flipped, made tensors and normalised one by one in a DataLoader; a batch sampler that lists the
primaries and then their partners; cross-entropy and KL term read back every step; SGD with the rate set once an epoch.
ours: the trainer with method cs_kd, in the published precision (float32) and in bfloat16, which pays where the processor has instructions
for it.
All: the same layers, images, batch size and optimiser settings, two threads, each in a process of its own. The published network is plainly
written, in torch's default memory order. The loader is tried without and with two worker processes, kept alive between epochs; the
faster one counts. On a machine with two cores the workers compete with the step: that is part of the answer.
"""

from __future__ import annotations

import math
import multiprocessing
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision import transforms

from bsd_core.accelerate import keep_freed_memory
from bsd_core.bench import Spread, ratio, seconds_by_round
from bsd_core.config import AugmentConfig, recipe_config
from bsd_core.data.sources import load_source
from bsd_core.train import Recipe, Trainer
from tests._dummies import SHARED, Int64, UInt8

_N_IMAGES, _BATCH_SIZE, _TEMPERATURE = 2000, 128, 4.0
PRECISIONS: Final = ("float32", "bfloat16")
WORKERS: Final = (0, 2)  # of the loader
_MEAN, _STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


@dataclass(frozen=True)
class ReferenceResult:
    """Medians over rounds; images/s count primaries."""

    images: str
    images_per_second: dict[str, float]  # by precision
    published_images_per_second: dict[int, float]  # by number of loader workers
    ratios: dict[str, Spread]  # by precision: published / ours, in time, with the faster loader


class _Images(Dataset[tuple[Tensor, int]]):
    """Images that are decoded and transformed one at a time."""

    def __init__(self, pixels: UInt8, targets: Int64) -> None:
        self._pixels, self._targets = pixels, targets.tolist()  # (N, H, W, C)
        steps = [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(_MEAN, _STD),
        ]
        self._transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._pixels[index])), self._targets[index]


class _Pairs(Sampler[list[int]]):
    """Lists of 2B indices: a slice of the shuffled set, then for each of them a random index of the same label."""

    def __init__(self, targets: Int64) -> None:
        self._targets = targets.tolist()
        self._by_label = {label: np.flatnonzero(targets == label).tolist() for label in set(self._targets)}
        self._rng = np.random.default_rng(0)

    def __len__(self) -> int:
        return math.ceil(len(self._targets) / _BATCH_SIZE)

    def __iter__(self) -> Iterator[list[int]]:
        order = self._rng.permutation(len(self._targets)).tolist()
        for start in range(0, len(order), _BATCH_SIZE):
            primaries = order[start : start + _BATCH_SIZE]
            partners = [self._partner(self._by_label[self._targets[index]]) for index in primaries]
            yield primaries + partners

    def _partner(self, rows: list[int]) -> int:
        return rows[int(self._rng.integers(len(rows)))]


class _Block(nn.Module):
    """A block of the CIFAR family as it is usually written."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.stride, self.padding = stride, n_out - n_in

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        x = x[:, :, :: self.stride, :: self.stride]
        return functional.relu(out + functional.pad(x, (0, 0, 0, 0, 0, self.padding)))


def _resnet8() -> nn.Module:
    """The same network as ours, in torch's default memory order."""
    blocks = [_Block(16, 16, 1), _Block(16, 32, 2), _Block(32, 64, 2)]
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class _Published:
    """The published training, an epoch at a time."""

    def __init__(self, images: UInt8, targets: Int64, *, workers: int) -> None:
        dataset = _Images(np.ascontiguousarray(images.transpose(0, 2, 3, 1)), targets)
        self._loader = DataLoader(dataset, batch_sampler=_Pairs(targets), num_workers=workers, persistent_workers=workers > 0)
        self._model = _resnet8()
        self._optimizer = torch.optim.SGD(self._model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
        self.accuracy = 0.0

    def run_epoch(self) -> None:
        self._model.train()
        for group in self._optimizer.param_groups:
            group["lr"] = 0.1
        sums, correct, total = [0.0, 0.0], 0.0, 0
        for inputs, labels in self._loader:
            half = len(inputs) // 2
            targets = labels[:half]
            outputs = self._model(inputs[:half])
            loss = functional.cross_entropy(outputs, targets)
            sums[0] += loss.item()
            with torch.no_grad():
                partners = self._model(inputs[half:])
            distill = self._kl(outputs, partners.detach())
            loss = loss + distill
            sums[1] += distill.item()
            correct += (outputs.argmax(1) == targets).sum().float().item()
            total += half
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
        self.accuracy = correct / total

    @staticmethod
    def _kl(logits: Tensor, partner_logits: Tensor) -> Tensor:
        log_probs = functional.log_softmax(logits / _TEMPERATURE, dim=1)
        target = functional.softmax(partner_logits / _TEMPERATURE, dim=1)
        return functional.kl_div(log_probs, target, reduction="sum") * _TEMPERATURE**2 / len(logits)


def _images() -> tuple[str, UInt8, Int64]:
    folder = SHARED / "data" / "cifar10"
    if folder.is_dir():
        train = load_source(f"parquet:{folder}").train
        return "CIFAR-10", np.asarray(train.images[:_N_IMAGES]), np.asarray(train.targets[:_N_IMAGES])
    rng = np.random.default_rng(0)
    return "random 3x32x32", rng.integers(0, 256, (_N_IMAGES, 3, 32, 32), dtype=np.uint8), rng.integers(0, 10, _N_IMAGES)


def _ours(images: UInt8, targets: Int64, precision: str) -> Trainer:
    recipe = Recipe(
        method="cs_kd",
        settings={"temperature": _TEMPERATURE, "distill_weight": 1.0},
        model="resnet8",
        width=16,
        train=recipe_config("cs_kd", epochs=1000, batch_size=_BATCH_SIZE, precision=precision),
        augment=AugmentConfig(crop_padding=4, flip=True),
        seed=0,
    )
    labels = torch.from_numpy(targets)
    return Trainer(recipe, torch.from_numpy(images), labels, true=labels, n_classes=10)


def _serve(kind: str, argument: Any, images: UInt8, targets: Int64, connection: Connection) -> None:
    """A process that trains one epoch whenever it is asked to, and answers when it has."""
    torch.set_num_threads(2)
    if kind == "ours":
        keep_freed_memory()
        run_epoch: Callable[[], object] = _ours(images, targets, argument).run_epoch
    else:
        run_epoch = _Published(images, targets, workers=argument).run_epoch
    while connection.recv():
        run_epoch()
        connection.send(True)


def _ask(connection: Connection) -> None:
    connection.send(True)
    connection.recv()


def run(*, rounds: int = 9) -> ReferenceResult:
    """Epochs of ours and of the published training in turns, each in a process of its own with two threads; the others wait."""
    name, images, targets = _images()
    context = multiprocessing.get_context("spawn")
    kinds: dict[str, tuple[str, Any]] = {precision: ("ours", precision) for precision in PRECISIONS}
    kinds |= {f"published {workers}": ("published", workers) for workers in WORKERS}
    connections: dict[str, Connection] = {}
    processes = []
    for key, (kind, argument) in kinds.items():
        connections[key], theirs = context.Pipe()
        processes.append(context.Process(target=_serve, args=(kind, argument, images, targets, theirs)))
        processes[-1].start()
    works = {key: partial(_ask, connection) for key, connection in connections.items()}
    seconds = seconds_by_round(works, rounds=rounds)
    for connection, process in zip(connections.values(), processes, strict=True):
        connection.send(False)
        process.join()
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    fastest = min(WORKERS, key=lambda workers: medians[f"published {workers}"])
    return ReferenceResult(
        images=name,
        images_per_second={precision: _N_IMAGES / medians[precision] for precision in PRECISIONS},
        published_images_per_second={workers: _N_IMAGES / medians[f"published {workers}"] for workers in WORKERS},
        ratios={precision: ratio(seconds[f"published {fastest}"], seconds[precision]) for precision in PRECISIONS},
    )
