from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bsd_core.robustness.corruptions import corrupt
from bsd_core.robustness.corruptions.digital import elastic_transform
from bsd_core.robustness.corruptions.severities import SEVERITIES, strength
from bsd_core.robustness.random_fields import RandomField
from tests._dummies import Float64, UInt8, load_shared_golden, make_images
from tests.bsd_core.robustness.readings import digital
from tests.bsd_core.robustness.readings.replay import Replay

EXACT: dict[str, Callable[[UInt8, Any, np.random.Generator], UInt8]] = {
    "brightness": digital.brightness,
    "saturate": digital.saturate,
    "contrast": digital.contrast,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
}
SHAPES = [
    (3, 32, 32),
    (1, 32, 32),
    (3, 8, 8),
    (1, 8, 8),
    (3, 24, 40),
    (1, 13, 9),
    (3, 1, 1),
    (3, 2, 5),
    (3, 70, 66),
    (3, 128, 131),
]  # (C, H, W)


def apply(images: UInt8, name: str, severity: int, *, seed: int = 0) -> UInt8:
    out: UInt8 = corrupt(torch.from_numpy(images), name, severity, seed=seed, indices=torch.arange(len(images))).numpy()
    return out


def read(reading: Callable[[UInt8, Any, Any], UInt8], images: UInt8, parameter: Any, rng: Any) -> UInt8:
    """The reading, image by image, of (N, C, H, W)."""
    return np.stack([reading(np.ascontiguousarray(image.transpose(1, 2, 0)), parameter, rng).transpose(2, 0, 1) for image in images])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", EXACT)
def test_a_corruption_is_its_definition_applied_image_by_image_to_the_last_bit(
    name: str, severity: int, shape: tuple[int, int, int]
) -> None:
    images = make_images(3, *shape, seed=severity)
    parameter = strength(name, severity, height=shape[1], width=shape[2])
    assert np.array_equal(apply(images, name, severity), read(EXACT[name], images, parameter, np.random.default_rng(0)))


@pytest.mark.parametrize("name", EXACT)
def test_a_corruption_equals_the_output_of_the_reference(name: str) -> None:
    golden = load_shared_golden("corruptions_deterministic")
    images = np.ascontiguousarray(golden["images"].transpose(0, 3, 1, 2))
    for row, severity in enumerate(golden["severities"].tolist()):
        assert np.array_equal(apply(images, name, severity), golden[name][row].transpose(0, 3, 1, 2))


def test_saturation_of_one_channel_stays_and_a_shift_reddens_grey_pixels_of_colour_images() -> None:
    grey = make_images(2, channels=1)
    assert np.array_equal(apply(grey, "saturate", 5), grey)
    red, green, blue = apply(np.full((1, 3, 4, 4), 100, np.uint8), "saturate", 5)[0]
    assert (red == 100).all()
    assert (green == 80).all()  # saturation 0.2
    assert (blue == 80).all()


# ---------------------------------------------------------------- elastic transform


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8), (3, 24, 40), (1, 13, 9), (3, 70, 66), (3, 128, 140), (3, 2, 5), (1, 1, 1)])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_elastic_transform_is_its_definition_with_the_same_random_numbers(severity: int, shape: tuple[int, int, int]) -> None:
    n, size = 4, shape[1] * shape[2]
    images = make_images(n, *shape, seed=severity)
    parameter = strength("elastic_transform", severity, height=shape[1], width=shape[2])
    field = RandomField(0, "elastic_transform", severity, indices=torch.arange(n))
    points, noise = field.uniform(6).double().numpy(), field.uniform(2 * size, stream=1).double().numpy()
    expected = []
    for image, of_points, of_noise in zip(images, points, noise, strict=True):
        # An image too small for three points draws none for them.
        replay = Replay(uniform=np.concatenate([of_points, of_noise]) if min(shape[1:]) >= 3 else of_noise)
        expected.append(read(digital.elastic_transform, image[None], parameter, replay)[0])
    difference = np.abs(apply(images, "elastic_transform", severity).astype(int) - np.stack(expected))
    assert difference.max() <= 1
    assert (difference > 0).sum() <= 1 + 0.002 * difference.size


@pytest.mark.parametrize("severity", SEVERITIES)
def test_elastic_transform_changes_neighbouring_pixels_as_alike_as_an_independent_sample(severity: int) -> None:
    images = make_images(300, seed=1)
    parameter = strength("elastic_transform", severity, height=32, width=32)
    found = apply(images, "elastic_transform", severity)
    sample = read(digital.elastic_transform, images, parameter, np.random.default_rng(severity))

    def products(corrupted: UInt8) -> Float64:
        """(N, 6): each image's products of differences at lags 0, 1, 2, 4, in the mean; and their mean and share that are not 0."""
        d = corrupted.astype(np.float64) - images
        lagged = [(d[..., lag:] * d[..., : 32 - lag]).mean((1, 2, 3)) for lag in (0, 1, 2, 4)]
        return np.stack([*lagged, d.mean((1, 2, 3)), (d != 0).mean((1, 2, 3))], axis=1)

    # Paired by image, so that only the draw differs.
    pairs = products(found) - products(sample)
    distances = pairs.mean(0) / (pairs.std(0, ddof=1) / np.sqrt(len(images)))
    assert np.abs(distances).max() < 4


def test_elastic_transform_keeps_areas_of_one_level() -> None:
    levels = np.arange(256, dtype=np.uint8)
    images = np.broadcast_to(levels[:, None, None, None], (256, 1, 16, 16)).copy()
    for severity in SEVERITIES:
        assert np.array_equal(apply(images, "elastic_transform", severity), images)


def test_elastic_transform_differs_between_images_seeds_and_severities_but_not_between_batches() -> None:
    images = np.repeat(make_images(1, seed=2), 5, axis=0)
    first = apply(images, "elastic_transform", 3)
    assert len({image.tobytes() for image in first}) == 5
    assert (apply(images, "elastic_transform", 3, seed=1) != first).any((1, 2, 3)).all()
    field = RandomField(0, "elastic_transform", 3, indices=torch.tensor([4, 1]))
    some = elastic_transform(torch.from_numpy(images[:2]), strength("elastic_transform", 3, height=32, width=32), field)
    assert np.array_equal(some.numpy(), first[[4, 1]])
