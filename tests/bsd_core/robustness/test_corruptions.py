"""What holds for every corruption; what each of them does is tested in the folder `corruptions`."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bsd_core.errors import ConfigError
from bsd_core.robustness.corruptions import CORRUPTIONS, chunks, corrupt
from bsd_core.robustness.corruptions.severities import SEVERITIES
from bsd_core.robustness.names import EXTRA, MAIN
from tests._dummies import UInt8, make_images

ROOT = Path(__file__).resolve().parents[3]
SHAPES = [(3, 32, 32), (1, 32, 32), (3, 8, 8), (1, 8, 8), (3, 24, 40), (1, 13, 9)]  # (C, H, W)


def apply(images: UInt8, name: str, severity: int) -> UInt8:
    out: UInt8 = corrupt(torch.from_numpy(images), name, severity, seed=0, indices=torch.arange(len(images))).numpy()
    return out


DETERMINISTIC = ("defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression", "gaussian_blur", "saturate")
DRAWN = tuple(name for name in CORRUPTIONS if name not in DETERMINISTIC)


def corrupt_tensor(images: Tensor, name: str, severity: int, *, seed: int = 0, indices: Tensor | None = None) -> Tensor:
    return corrupt(images, name, severity, seed=seed, indices=torch.arange(len(images)) if indices is None else indices)


def test_all_nineteen_corruptions_stand_in_the_order_of_the_reference() -> None:
    assert list(CORRUPTIONS) == [*MAIN, *EXTRA]
    assert len(set(CORRUPTIONS)) == 19


@pytest.mark.parametrize("shape", [*SHAPES, (3, 1, 1), (1, 1, 1), (3, 2, 5), (1, 64, 64), (3, 64, 48), (3, 130, 128)])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_uint8_comes_in_and_uint8_of_the_same_shape_comes_out(name: str, shape: tuple[int, int, int]) -> None:
    images = torch.from_numpy(make_images(2, *shape))
    before = images.clone()
    for severity in (1, 3, 4, 5):
        out = corrupt_tensor(images, name, severity)
        assert out.dtype == torch.uint8
        assert out.shape == images.shape
        assert torch.equal(images, before)
        assert out.data_ptr() != images.data_ptr()
        is_changed = min(shape[1:]) >= 8 and (name, shape[0]) != ("saturate", 1)  # one channel has no colour
        assert not is_changed or not torch.equal(out, images)


@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_is_corrupted_alike_in_any_batch_order_and_subset(name: str, severity: int) -> None:
    n = 345  # more than the 341 that are worked on together
    images = torch.from_numpy(make_images(n))
    assert len(chunks(images)) == 2
    indices = torch.arange(1000, 1000 + n)
    whole = corrupt_tensor(images, name, severity, seed=7, indices=indices)
    for rows in (torch.arange(n - 1, -1, -1), torch.tensor([344, 3, 3, 341, 340, 0, 200]), torch.tensor([342])):
        assert torch.equal(corrupt_tensor(images[rows], name, severity, seed=7, indices=indices[rows]), whole[rows])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_chunks_of_any_size_give_the_same_pixels(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.from_numpy(make_images(7, 3, 13, 9))
    expected = corrupt_tensor(images, name, 4)
    for n_values in (1, 3 * images[0].numel()):
        monkeypatch.setattr("bsd_core.robustness.corruptions._VALUES_ON_CPU", n_values)
        assert torch.equal(corrupt_tensor(images, name, 4), expected)


def run_python(code: str) -> str:
    """What `code` prints in a process of its own, with another hash seed and number of threads, as a worker of a study may have."""
    environment = {**os.environ, "PYTHONHASHSEED": "12", "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def digests() -> dict[str, str]:
    """A hash of some pixels of every corruption; also run by another process, below."""
    images = torch.from_numpy(make_images(3))
    indices = torch.tensor([5, 9999, 2**33])
    pixels = {
        f"{name} {severity}": corrupt_tensor(images, name, severity, seed=11, indices=indices)
        for name in CORRUPTIONS
        for severity in (2, 5)
    }
    return {name: hashlib.sha256(out.numpy().tobytes()).hexdigest() for name, out in pixels.items()}


def test_another_process_makes_the_same_pixels() -> None:
    code = "import json; from tests.bsd_core.robustness.test_corruptions import digests; print(json.dumps(digests()))"
    assert json.loads(run_python(code)) == digests()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_memory_order_and_the_global_random_state_do_not_matter(name: str) -> None:
    images, indices = torch.from_numpy(make_images(4)), torch.arange(4)
    expected = corrupt_tensor(images, name, 2, indices=indices)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        before = torch.get_rng_state()
        found = corrupt(images.to(memory_format=torch.channels_last), name, 2, seed=0, indices=indices.numpy())  # type: ignore[arg-type]
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("severity", [1, 5])
@pytest.mark.parametrize("name", DRAWN)
def test_random_corruptions_change_with_the_seed_and_the_index(name: str, severity: int) -> None:
    n = 8
    images = torch.from_numpy(make_images(1, seed=4)).expand(n, -1, -1, -1)  # one image eight times
    first = corrupt_tensor(images, name, severity)
    assert torch.equal(first, corrupt_tensor(images, name, severity))
    # Two angles of a weak motion blur may meet the same pixels, so two images can be alike, but not all.
    assert len(torch.unique(first, dim=0)) > n // 2
    for other in (
        corrupt_tensor(images, name, severity, seed=1),
        corrupt_tensor(images, name, severity, indices=torch.arange(n) + n),
        corrupt_tensor(images, name, severity, indices=torch.arange(n) + 2**32),
    ):
        assert not torch.equal(first, other)
    assert torch.equal(corrupt_tensor(images[:2], name, severity, indices=torch.tensor([6, 7])), first[6:])


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_deterministic_corruptions_do_not_know_the_seed_and_the_index(name: str) -> None:
    images = torch.from_numpy(make_images(3))
    assert torch.equal(corrupt_tensor(images, name, 4), corrupt_tensor(images, name, 4, seed=1, indices=torch.tensor([8, 8, 9])))


# Noise is drawn for every value, frost and spatter are coloured, and saturate gives grey pixels of three channels a hue: the others see
# no difference between one channel and three alike. Snow's grey of three channels may round differently.
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize(
    "name",
    [
        "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow", "fog",
        "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression", "gaussian_blur",
    ],
)  # fmt: skip
def test_a_grey_image_is_corrupted_as_its_copy_in_three_channels(name: str, severity: int) -> None:
    grey = torch.from_numpy(make_images(3, 1))
    out = corrupt_tensor(grey.expand(-1, 3, -1, -1), name, severity).int()
    assert int((out - corrupt_tensor(grey, name, severity)).abs().max()) <= (name == "snow")


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_batch_of_none_and_of_one(name: str) -> None:
    images = make_images(1)
    assert apply(images[:0], name, 1).shape == (0, 3, 32, 32)
    assert apply(images, name, 1).shape == (1, 3, 32, 32)


@pytest.mark.parametrize(
    "name",
    [
        "gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise",
        "zoom_blur", "gaussian_blur", "snow", "fog", "brightness", "contrast",
    ],
)  # fmt: skip
def test_higher_severities_change_more(name: str) -> None:
    images = make_images(40)
    change = [np.abs(apply(images, name, severity).astype(int) - images).mean() for severity in SEVERITIES]
    assert change == sorted(change)
    assert change[0] < change[-1]


CAN_BE_FAR = ("impulse_noise", "speckle_noise", "snow", "fog", "spatter")  # from where a value started, by their definition


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name not in CAN_BE_FAR])
def test_no_value_wraps_round_at_black_and_white(name: str, severity: int) -> None:
    images = np.zeros((2, 3, 16, 16), np.uint8)
    images[1] = 255
    out = apply(images, name, severity).astype(int)
    # A value that wrapped round would be far from where it started; frost adds up to 0.45 of a bright texture.
    assert out[0].max() < 160
    assert out[1].min() > 95


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is Linux's")
def test_memory_stays_below_one_gigabyte_for_ten_thousand_images() -> None:
    heavy = ("frost", "elastic_transform", "jpeg_compression")
    code = f"""
import resource, torch
from bsd_core.robustness.corruptions import corrupt
images, indices = torch.randint(0, 256, (10_000, 3, 32, 32), dtype=torch.uint8), torch.arange(10_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in {heavy}:
    corrupt(images, name, 2, seed=0, indices=indices)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    assert int(run_python(code)) * 1024 < 1e9


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 13, 9), (3, 64, 64)])
def test_cpu_and_gpu_agree_within_one_grey_level(shape: tuple[int, int, int]) -> None:
    images = torch.from_numpy(make_images(20, *shape))
    largest = {}
    for name, severity in itertools.product(CORRUPTIONS, SEVERITIES):
        on_gpu = corrupt_tensor(images.cuda(), name, severity)
        assert on_gpu.is_cuda
        largest[name, severity] = int((on_gpu.cpu().int() - corrupt_tensor(images, name, severity)).abs().max())
    assert {cell: difference for cell, difference in largest.items() if difference > 1} == {}


@pytest.mark.parametrize(
    ("name", "severity", "message"),
    [
        ("gausian_noise", 1, r"Unknown corruption 'gausian_noise'\. Did you mean 'gaussian_noise'\? Known: brightness,"),
        ("contrast", 0, r"`severity is 1, 2, 3, 4 or 5` must hold, but got severity=0"),
        ("contrast", 6, r"severity=6"),
        ("contrast", 2.0, r"severity=2\.0"),
        ("contrast", True, r"severity=True"),
        ("contrast", "3", r"severity='3'"),
    ],
)
def test_unknown_names_and_severities_are_refused(name: str, severity: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        apply(make_images(1), name, severity)


@pytest.mark.parametrize(
    ("images", "indices", "message"),
    [
        (
            torch.zeros(2, 3, 4, 4),
            torch.arange(2),
            r"Expected uint8 images .* but got torch\.float32 \(2, 3, 4, 4\)\. Pass grey levels of 0 to 255, before any normalisation\.",
        ),
        (
            torch.zeros(2, 5, 4, 3, dtype=torch.uint8),
            torch.arange(2),
            r"with C = 1 or 3, but got torch\.uint8 \(2, 5, 4, 3\)\. The channels come second: images\.permute\(0, 3, 1, 2\)\.",
        ),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), torch.arange(3), r"Expected uint8 images .* \(3, 4, 4\)\.$"),
        (torch.zeros(2, 4, 4, 4, dtype=torch.uint8), torch.arange(2), r"with C = 1 or 3, but got torch\.uint8 \(2, 4, 4, 4\)\.$"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.int64), torch.arange(2), r"but got torch\.int64 \(2, 3, 4, 4\)"),
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
