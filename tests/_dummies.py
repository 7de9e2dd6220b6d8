"""Small things that tests share: images, labels, networks, trainers, and the files with expected numbers."""

from __future__ import annotations

import io
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import settings
from PIL import Image
from torch import Tensor, nn

from bsd_core.config import AugmentConfig, TrainConfig
from bsd_core.data.batches import Batch
from bsd_core.data.images import ImageSet, MappedImages
from bsd_core.methods import Method, Training, build_method
from bsd_core.models import Network, build_model
from bsd_core.train import Recipe, Trainer

UInt8 = npt.NDArray[np.uint8]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

GOLDEN = Path(__file__).resolve().parent / "golden"
# Files that may not be copied into the project lie in a folder beside the repository; tests that need them are skipped without it.
SHARED = Path(__file__).resolve().parents[2] / "shared"

# Property tests: the same examples at every run, and no deadline, since machines differ.
PROPERTY = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def load_golden(name: str) -> dict[str, npt.NDArray[Any]]:
    """The arrays of tests/golden/<name>.npz."""
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return dict(arrays)


def load_shared_golden(name: str) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a golden file that may not be copied; skips the test where it is absent."""
    path = SHARED / "golden" / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"golden/{name}.npz is not beside the repository (it may not be copied into it)")
    with np.load(path) as arrays:
        return dict(arrays)


def shared_cifar10() -> Path:
    """The folder with CIFAR-10 in Parquet; skips the test where it is absent."""
    path = SHARED / "data" / "cifar10"
    if not path.is_dir():
        pytest.skip("the CIFAR-10 files are not beside the repository (they may not be copied into it)")
    return path


def make_images(n: int, channels: int = 3, height: int = 32, width: int = 32, *, seed: int = 0) -> UInt8:
    """(N, C, H, W) images with soft gradients, hard edges, noise, saturated and grey areas: something for every corruption."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    images = np.empty((n, channels, height, width))
    for image in images:
        for channel in image:
            a, b, c = rng.uniform(-200, 200, 3)
            channel[:] = 128 + a * (x - 0.5) + b * (y - 0.5) + c * (x - 0.5) * (y - 0.5)
        top, left = rng.integers(0, height), rng.integers(0, width)
        image[:, top : top + height // 3, left : left + width // 3] = rng.uniform(-40, 300, (channels, 1, 1))  # a coloured block
        image[:] = image + rng.normal(0, 6, image.shape)
        image[:, : height // 6, : width // 4] = rng.uniform(0, 255)  # a grey block
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


def make_targets(n: int, n_classes: int, *, seed: int = 0) -> Tensor:
    """(N,) int64 labels in which every class occurs if n >= n_classes."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.permutation(np.arange(n) % n_classes))


def make_toy_images(n: int, n_classes: int = 3, channels: int = 1, size: int = 8, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Images that are easy to tell apart, a bright row for each class on noise: ((N, C, H, W) uint8, (N,) int64)."""
    rng = np.random.default_rng(seed)
    targets = make_targets(n, n_classes, seed=seed).numpy()
    images = rng.integers(0, 120, (n, channels, size, size))
    images[np.arange(n), :, targets] += 100
    return torch.from_numpy(images.astype(np.uint8)), torch.from_numpy(targets)


def make_image_set(n: int, n_classes: int = 3, channels: int = 3, height: int = 8, width: int = 8, *, seed: int = 0) -> ImageSet:
    """An ImageSet of `make_images`."""
    return ImageSet(make_images(n, channels, height, width, seed=seed), make_targets(n, n_classes, seed=seed).numpy(), n_classes)


def make_mapped_images(folder: Path, images: UInt8) -> MappedImages:
    """(N, C, H, W) images in a file of `folder`, with a number in place of each image's hash."""
    np.save(folder / "images.npy", images)
    np.savez(folder / "images.npz", digests=np.arange(len(images), dtype=np.uint64))
    return MappedImages.open(folder / "images.npy")


def make_logits(n: int, n_classes: int, *, scale: float = 2.0, seed: int = 0) -> Tensor:
    """(N, K) float64 normal logits."""
    return torch.from_numpy(np.random.default_rng(seed).normal(0, scale, (n, n_classes)))


def make_batch(
    targets: Tensor,
    *,
    channels: int = 1,
    size: int = 8,
    needs: Collection[str] = (),
    indices: Tensor | None = None,
    epoch: int = 0,
    step: int = 0,
    seed: int = 0,
) -> Batch:
    """A batch of normal pixels for `targets`, with the parts that `needs` names; indices are 0, 1, ... unless given."""
    generator = torch.Generator().manual_seed(seed)

    def view() -> Tensor:
        return torch.randn((len(targets), channels, size, size), generator=generator)

    images = view()
    return Batch(
        images=images,
        targets=targets,
        indices=torch.arange(len(targets)) if indices is None else indices,
        epoch=epoch,
        step=step,
        partner_images=view() if "partner" in needs else None,
        second_images=view() if "second_view" in needs else None,
        strong_images=(view(), view()) if "strong_views" in needs else None,
        previous_images=view() if "previous" in needs else None,
        previous_targets=targets.flip(0) if "previous" in needs else None,
    )


def make_network(n_classes: int = 3, *, channels: int = 1, width: int = 4, seed: int = 0) -> Network:
    """A tiny network in training mode."""
    return build_model("resnet8", in_channels=channels, n_classes=n_classes, width=width, seed=seed).train()


def make_training(
    targets: Tensor,
    n_classes: int = 3,
    *,
    epochs: int = 2,
    steps_per_epoch: int = 4,
    seed: int = 0,
    network: Network | None = None,
) -> Training:
    """What a method is told of a training of tiny networks."""
    return Training(
        targets=targets,
        n_classes=n_classes,
        total_steps=epochs * steps_per_epoch,
        steps_per_epoch=steps_per_epoch,
        seed=seed,
        network=network or make_network(n_classes),
        new_network=lambda seed: make_network(n_classes, seed=seed),
    )


def make_method(name: str, targets: Tensor, n_classes: int = 3, settings: dict[str, Any] | None = None, **training: Any) -> Method:
    """The method `name` for `make_training`."""
    return build_method(name, settings or {}, make_training(targets, n_classes, **training))


class ScriptedModel(nn.Module):
    """Answers its first call with the first of `answers`, its second with the second, ...: losses on logits that are known.

    Its features are the answers too, and its classifier changes nothing.

    Attributes:
        seen: the images of each call.
        grad_enabled: whether gradients were on at each call.
    """

    def __init__(self, *answers: Tensor) -> None:
        super().__init__()
        self.answers = list(answers)
        self.seen: list[Tensor] = []
        self.grad_enabled: list[bool] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images)
        self.grad_enabled.append(torch.is_grad_enabled())
        return self.answers[len(self.seen) - 1]

    def features(self, images: Tensor) -> Tensor:
        return self(images)  # type: ignore[no-any-return]

    def classifier(self, features: Tensor) -> Tensor:
        return features


def make_recipe(
    method: str = "cross_entropy",
    *,
    settings: dict[str, Any] | None = None,
    epochs: int = 3,
    batch_size: int = 16,
    learning_rate: float = 0.1,
    augment: AugmentConfig | None = None,
    seed: int = 0,
) -> Recipe:
    """A recipe for a tiny network."""
    return Recipe(
        method=method,
        settings=settings or {},
        model="resnet8",
        width=4,
        train=TrainConfig(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate),
        augment=augment or AugmentConfig(crop_padding=1, flip=True),
        seed=seed,
    )


def make_trainer(
    recipe: Recipe, *, n: int = 50, n_classes: int = 3, given: Tensor | None = None, true: Tensor | None = None, data_seed: int = 0
) -> Trainer:
    """A trainer on `make_toy_images`; `given` replaces their labels."""
    images, targets = make_toy_images(n, n_classes, seed=data_seed)
    return Trainer(recipe, images, targets if given is None else given, true=true, n_classes=n_classes)


def assert_equal_states(left: Any, right: Any) -> None:
    """Nested dicts, lists and tensors are equal to the last bit."""
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_equal_states(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_equal_states(one, other)
    elif isinstance(left, Tensor):
        assert torch.equal(left, right)
    else:
        assert left == right


def make_png(pixels: npt.NDArray[Any]) -> bytes:
    """(H, W) or (H, W, 3) uint8 as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
