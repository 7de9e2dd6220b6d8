from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from bsd_core.data.sources import load_source
from bsd_core.errors import ConfigError
from bsd_core.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from tests._dummies import Float64, UInt8, load_shared_golden, make_images, shared_cifar10

SHAPES = [(3, 32, 32), (1, 32, 32), (3, 8, 8), (1, 8, 8), (3, 24, 40), (1, 13, 9)]  # (C, H, W)


def apply(images: UInt8, name: str, severity: int, *, seed: int = 0, first_index: int = 0) -> UInt8:
    indices = torch.arange(first_index, first_index + len(images))
    out: UInt8 = corrupt(torch.from_numpy(images), name, severity, seed=seed, indices=indices).numpy()
    return out


def truncate(x: Float64) -> UInt8:
    """[0, 1] to grey levels as the definition says: clip, times 255, cut off."""
    return (np.clip(x, 0, 1) * 255).astype(np.uint8)


# ---------------------------------------------------------------- the definition, read once more: one (H, W, C) image at a time


def gaussian_blur_image(image: UInt8, severity: int) -> UInt8:
    sigma = [0.4, 0.6, 0.7, 0.8, 1.0][severity - 1]
    planes = [ndimage.gaussian_filter(image[:, :, c] / 255, sigma, mode="nearest", truncate=4.0) for c in range(image.shape[2])]
    return truncate(np.stack(planes, axis=2))


def brightness_image(image: UInt8, severity: int) -> UInt8:
    amount = [0.05, 0.1, 0.15, 0.2, 0.3][severity - 1]
    out = np.empty(image.shape)
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            pixel = (image[row, column] / 255).tolist()
            if len(pixel) == 1:
                out[row, column] = pixel[0] + amount
            else:
                hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
                out[row, column] = colorsys.hsv_to_rgb(hue, saturation, min(1.0, value + amount))
    return truncate(out)


def contrast_image(image: UInt8, severity: int) -> UInt8:
    amount = [0.75, 0.5, 0.4, 0.3, 0.15][severity - 1]
    x = image / 255
    mean = x.mean(axis=(0, 1), keepdims=True)
    return truncate((x - mean) * amount + mean)


def pixelate_image(image: UInt8, severity: int) -> UInt8:
    amount = [0.95, 0.9, 0.85, 0.75, 0.65][severity - 1]
    height, width, channels = image.shape
    picture = Image.fromarray(image[:, :, 0] if channels == 1 else image)
    small = picture.resize((int(width * amount), int(height * amount)), Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.BOX)).reshape(image.shape)


# name -> (definition, largest difference, share of values that may differ at all). Where truncation falls on a whole grey level the
# last bit of a float decides; contrast and pixelate are exact.
DEFINITIONS: dict[str, tuple[Callable[[UInt8, int], UInt8], int, float]] = {
    "gaussian_blur": (gaussian_blur_image, 1, 0.02),
    "brightness": (brightness_image, 1, 0.02),
    "contrast": (contrast_image, 1, 0.001),
    "pixelate": (pixelate_image, 0, 0.0),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_corruption_is_its_definition_applied_image_by_image(name: str, severity: int, shape: tuple[int, int, int]) -> None:
    definition, largest, share = DEFINITIONS[name]
    if name == "brightness" and severity == 4:
        share = 1.0  # 0.2 is 51 grey levels exactly, so every value falls on a whole level
    images = make_images(3, *shape, seed=severity)
    found = apply(images, name, severity).astype(int)
    expected = np.stack([definition(np.ascontiguousarray(image.transpose(1, 2, 0)), severity).transpose(2, 0, 1) for image in images])
    difference = np.abs(found - expected)
    assert difference.max() <= largest
    assert (difference > 0).mean() <= share
    assert (found != images).any()


def noise_statistics(clean: UInt8, corrupted: UInt8) -> list[float]:
    """Mean and spread of the difference, and the share of values that changed."""
    difference = corrupted.astype(np.float64) - clean
    return [float(difference.mean()), float(difference.std()), float((difference != 0).mean())]


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8)])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_gaussian_noise_has_the_statistics_of_an_independent_sample(severity: int, shape: tuple[int, int, int]) -> None:
    sigma = [0.04, 0.06, 0.08, 0.09, 0.10][severity - 1]
    images = make_images(300_000 // int(np.prod(shape)), *shape)
    rng = np.random.default_rng(1)
    sample = np.stack([truncate(image / 255 + rng.normal(0, sigma, image.shape)) for image in images])
    found, expected = noise_statistics(images, apply(images, "gaussian_noise", severity)), noise_statistics(images, sample)
    # About 300,000 values each: the means spread by 255 sigma sqrt(2 / 300,000), the spreads by 1 / sqrt(2) of that.
    unit = 255 * sigma * np.sqrt(2 / 300_000)
    assert found[0] == pytest.approx(expected[0], abs=5 * unit)
    assert found[1] == pytest.approx(expected[1], abs=5 * unit)
    assert found[2] == pytest.approx(expected[2], abs=0.005)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_gaussian_noise_on_middle_grey_has_the_spread_of_the_table(severity: int) -> None:
    sigma = [0.04, 0.06, 0.08, 0.09, 0.10][severity - 1]
    difference = apply(np.full((100, 3, 16, 16), 128, np.uint8), "gaussian_noise", severity).astype(np.float64) - 128
    # Truncation shifts the mean by half a grey level and adds a variance of 1/12; nothing is clipped at 128.
    assert difference.mean() == pytest.approx(-0.5, abs=5 * 255 * sigma / np.sqrt(76_800))
    assert difference.std() == pytest.approx(np.sqrt((255 * sigma) ** 2 + 1 / 12), rel=0.02)


def test_noise_of_channels_pixels_and_images_is_uncorrelated() -> None:
    noise = apply(np.full((60, 3, 32, 32), 128, np.uint8), "gaussian_noise", 5).astype(np.float64) - 128
    pairs = [
        (noise[:, 0], noise[:, 1]),
        (noise[:, :, :, 1:], noise[:, :, :, :-1]),
        (noise[:, :, 1:], noise[:, :, :-1]),
        (noise[1:], noise[:-1]),
    ]
    for left, right in pairs:
        # 61,440 pairs or more: a correlation spreads by 0.004
        assert abs(np.corrcoef(left.ravel(), right.ravel())[0, 1]) < 5 * 0.004


def load_golden_corruption(name: str) -> tuple[UInt8, dict[int, UInt8]]:
    golden = load_shared_golden("corruptions_deterministic")
    by_severity = {int(severity): golden[name][row].transpose(0, 3, 1, 2) for row, severity in enumerate(golden["severities"])}
    return np.ascontiguousarray(golden["images"].transpose(0, 3, 1, 2)), by_severity


@pytest.mark.parametrize("name", ["brightness", "contrast", "pixelate"])
def test_a_corruption_equals_the_output_of_the_reference(name: str) -> None:
    images, expected = load_golden_corruption(name)
    for severity, reference in expected.items():
        assert np.array_equal(apply(images, name, severity), reference)


def test_gaussian_blur_is_within_one_grey_level_of_the_reference() -> None:
    images, expected = load_golden_corruption("gaussian_blur")
    for severity, reference in expected.items():
        difference = np.abs(apply(images, "gaussian_blur", severity).astype(int) - reference)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.016


@pytest.fixture(scope="module")
def natural_images() -> UInt8:
    """200 photographs, 20 of each class."""
    (file,) = shared_cifar10().glob("test*.parquet")
    photographs = load_source(f"parquet:{file}").test
    rows = np.concatenate([np.flatnonzero(photographs.targets == label)[:20] for label in range(10)])
    return photographs.select(rows).array


@pytest.mark.parametrize("name", ["gaussian_noise", "gaussian_blur", "brightness", "contrast", "pixelate"])
def test_statistics_on_photographs_agree_with_the_reference(name: str, natural_images: UInt8) -> None:
    golden = load_shared_golden("corruptions_stats")
    row = golden["names"].tolist().index(name)
    for severity in SEVERITIES:
        mean, spread, changed = noise_statistics(natural_images, apply(natural_images, name, severity))
        # Other photographs than the reference's: allow for the spread between images.
        error = np.sqrt(2) * golden["se_of_mean"][row, severity - 1]
        assert mean == pytest.approx(golden["mean"][row, severity - 1], abs=5 * error + 0.05)
        assert spread == pytest.approx(golden["std"][row, severity - 1], rel=0.15)
        assert changed == pytest.approx(golden["frac_changed"][row, severity - 1], abs=0.03)


# ---------------------------------------------------------------- what holds for every corruption


def test_the_first_corruptions_stand_in_the_order_of_the_reference() -> None:
    first = ["gaussian_noise", "brightness", "contrast", "pixelate", "gaussian_blur"]
    assert [name for name in CORRUPTIONS if name in first] == first


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_uint8_comes_in_and_uint8_of_the_same_shape_comes_out(name: str, shape: tuple[int, int, int]) -> None:
    images = torch.from_numpy(make_images(3, *shape))
    before = images.clone()
    out = corrupt(images, name, 3, seed=0, indices=torch.arange(3))
    assert out.dtype == torch.uint8
    assert out.shape == images.shape
    assert torch.equal(images, before)
    assert out.data_ptr() != images.data_ptr()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_is_corrupted_alike_in_any_batch_order_and_subset(name: str) -> None:
    n = 300  # more than are worked on at a time
    images = torch.from_numpy(make_images(n, 3, 8, 8))
    indices = torch.arange(1000, 1000 + n)
    whole = corrupt(images, name, 4, seed=7, indices=indices)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    assert torch.equal(corrupt(images[order], name, 4, seed=7, indices=indices[order]), whole[order])
    some = torch.tensor([299, 3, 3, 256])
    assert torch.equal(corrupt(images[some], name, 4, seed=7, indices=indices[some]), whole[some])
    pieces = [corrupt(images[k : k + 77], name, 4, seed=7, indices=indices[k : k + 77]) for k in range(0, n, 77)]
    assert torch.equal(torch.cat(pieces), whole)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_memory_order_and_the_global_random_state_do_not_matter(name: str) -> None:
    images, indices = torch.from_numpy(make_images(4)), torch.arange(4)
    expected = corrupt(images, name, 2, seed=0, indices=indices)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        before = torch.get_rng_state()
        found = corrupt(images.to(memory_format=torch.channels_last), name, 2, seed=0, indices=indices.numpy())  # type: ignore[arg-type]
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(found, expected)


def test_noise_changes_with_the_seed_the_severity_and_the_index() -> None:
    images = np.full((2, 3, 8, 8), 128, np.uint8)
    first = apply(images, "gaussian_noise", 3)
    assert np.array_equal(first, apply(images, "gaussian_noise", 3))
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first, apply(images, "gaussian_noise", 3, seed=1))
    assert not np.array_equal(first, apply(images, "gaussian_noise", 3, first_index=2))
    assert np.array_equal(first[1:], apply(images[1:], "gaussian_noise", 3, first_index=1))
    signs = [np.sign(apply(images, "gaussian_noise", severity).astype(int) - 128) for severity in (3, 4)]
    assert (signs[0] != signs[1]).mean() > 0.3  # not the same noise, only larger


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_batch_of_none_and_of_one(name: str) -> None:
    images = make_images(1)
    assert apply(images[:0], name, 1).shape == (0, 3, 32, 32)
    assert apply(images, name, 1).shape == (1, 3, 32, 32)


@pytest.mark.parametrize("name", ["gaussian_noise", "gaussian_blur", "brightness", "contrast"])
def test_higher_severities_change_more(name: str) -> None:
    images = make_images(20)
    change = [np.abs(apply(images, name, severity).astype(int) - images).mean() for severity in SEVERITIES]
    assert change == sorted(change)
    assert change[0] < change[-1]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_black_and_white_stay_within_the_grey_levels(name: str) -> None:
    images = np.zeros((2, 3, 8, 8), np.uint8)
    images[1] = 255
    out = apply(images, name, 5).astype(int)
    # A value that wrapped round would be far from where it started.
    assert out[0].max() < 160
    assert out[1].min() > 95


@pytest.mark.parametrize(
    ("name", "severity", "message"),
    [
        ("gausian_noise", 1, r"Unknown corruption 'gausian_noise'\. Known: brightness, .*Did you mean 'gaussian_noise'\?"),
        ("contrast", 0, r"`severity is 1, 2, 3, 4 or 5` must hold, but got severity=0"),
        ("contrast", 6, r"severity=6"),
    ],
)
def test_unknown_names_and_severities_are_refused(name: str, severity: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        apply(make_images(1), name, severity)


@pytest.mark.parametrize(
    ("images", "indices", "message"),
    [
        (torch.zeros(2, 3, 4, 4), torch.arange(2), r"Expected uint8 images .* but got torch\.float32 \(2, 3, 4, 4\)"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), torch.arange(3), r"Expected uint8 images .* \(3, 4, 4\)"),
        (torch.zeros(2, 4, 4, 4, dtype=torch.uint8), torch.arange(2), r"with C = 1 or 3, but got torch\.uint8 \(2, 4, 4, 4\)"),
        (
            torch.zeros(2, 3, 4, 4, dtype=torch.uint8),
            torch.arange(3),
            r"one integer index an image, shape \(2,\), but got torch\.int64 \(3,\)",
        ),
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.zeros(2), r"one integer index an image, .* torch\.float32 \(2,\)"),
    ],
)
def test_images_and_indices_of_another_form_are_refused(images: Any, indices: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        corrupt(images, "contrast", 1, seed=0, indices=indices)
