from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from bsd_core.robustness.corruptions import blur, corrupt
from bsd_core.robustness.corruptions.severities import SEVERITIES, strength
from bsd_core.robustness.motion import motion_blur
from bsd_core.robustness.random_fields import RandomField
from tests._dummies import Int64, UInt8, load_shared_golden, make_images, shared_cifar10
from tests.bsd_core.robustness.readings import blur as reading

SHAPES = [(3, 32, 32), (1, 32, 32), (3, 8, 8), (3, 24, 40), (1, 13, 9), (1, 1, 1), (1, 2, 5)]  # (C, H, W)
# name -> (function, its reading, share of values that may be one grey level off)
DETERMINISTIC: dict[str, tuple[Callable[..., Any], Callable[..., UInt8], float]] = {
    "defocus_blur": (blur.defocus_blur, reading.defocus_blur, 0.002),
    "zoom_blur": (blur.zoom_blur, reading.zoom_blur, 0.002),
    "gaussian_blur": (blur.gaussian_blur, reading.gaussian_blur, 0.0),
}


def field_of(n: int, *names: object) -> RandomField:
    return RandomField("test", *names, indices=torch.arange(n))


def apply(images: UInt8, function: Callable[..., Any], parameter: Any) -> UInt8:
    out: UInt8 = function(torch.from_numpy(images), parameter, field_of(len(images))).numpy()
    return out


def read(images: UInt8, definition: Callable[..., UInt8], parameter: Any, rng: np.random.Generator | None = None) -> UInt8:
    """`definition` of each image: (N, C, H, W)."""
    rng = rng or np.random.default_rng(0)
    return np.stack([definition(image.transpose(1, 2, 0), parameter, rng).transpose(2, 0, 1) for image in images])


def assert_within_one(found: UInt8, expected: UInt8, share: float) -> None:
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= share


@pytest.fixture(scope="module")
def photographs() -> UInt8:
    """30 photographs, and 10 more with white, black and plain areas painted over."""
    (file,) = shared_cifar10().glob("test*.parquet")
    rows = pq.read_table(file, columns=["img"])["img"].slice(0, 40).to_pylist()
    images = np.stack([np.asarray(Image.open(io.BytesIO(row["bytes"]))) for row in rows]).transpose(0, 3, 1, 2)
    for k, level in enumerate((255, 255, 255, 0, 128, 51, 250, 1, 254, 200)):
        images[30 + k, :, 3 + k : 25, 8 : 30 - k] = level
    return images


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_blur_is_its_definition_applied_image_by_image(name: str, severity: int) -> None:
    function, definition, share = DETERMINISTIC[name]
    for shape in SHAPES:
        images = make_images(3, *shape, seed=severity)
        parameter = strength(name, severity, height=32, width=32)
        # Few pixels are zoomed by ratios of small numbers, so that many a sum falls on a whole level.
        allowed = 0.15 if name == "zoom_blur" and images.size < 1000 else share
        assert_within_one(apply(images, function, parameter), read(images, definition, parameter), allowed)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_blur_is_its_definition_on_photographs(name: str, severity: int, photographs: UInt8) -> None:
    function, definition, share = DETERMINISTIC[name]
    parameter = strength(name, severity, height=32, width=32)
    assert_within_one(apply(photographs, function, parameter), read(photographs, definition, parameter), share)


@pytest.mark.parametrize(
    ("name", "parameter"),
    [("defocus_blur", p) for p in ((1, 0.1), (2.5, 0.01), (3, 0.1), (4, 0.5), (8, 0.5), (10, 0.5))]
    + [("zoom_blur", p) for p in ((1.21, 0.02), (1.31, 0.03))]
    + [("gaussian_blur", sigma) for sigma in (0.05, 1.5, 6)],
)
def test_the_strengths_for_larger_images_follow_the_definition(name: str, parameter: Any) -> None:
    function, definition, share = DETERMINISTIC[name]
    for shape in ((3, 40, 40), (1, 7, 12)):
        images = make_images(3, *shape)
        assert_within_one(apply(images, function, parameter), read(images, definition, parameter), share)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_plain_areas_become_what_the_definition_makes_of_them(name: str) -> None:
    # A mean of equal levels falls on a whole level, where the last bit decides: at each level and severity as in the definition.
    function, definition, _ = DETERMINISTIC[name]
    images = np.tile(np.arange(256, dtype=np.uint8)[:, None, None, None], (1, 1, 5, 5))
    for severity in SEVERITIES:
        parameter = strength(name, severity, height=32, width=32)
        assert np.array_equal(apply(images, function, parameter), read(images, definition, parameter))


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_blur_is_within_one_grey_level_of_the_reference(name: str) -> None:
    golden = load_shared_golden("corruptions_deterministic")
    images = torch.from_numpy(golden["images"].transpose(0, 3, 1, 2))
    for row, severity in enumerate(golden["severities"].tolist()):
        found = corrupt(images, name, severity, seed=0, indices=torch.arange(len(images))).numpy()
        assert_within_one(found, golden[name][row].transpose(0, 3, 1, 2), DETERMINISTIC[name][2])


def test_a_disk_of_five_pixels_is_their_mean() -> None:
    image = np.zeros((1, 1, 5, 5), np.uint8)
    image[0, 0, 2, 2], image[0, 0, 1, 2], image[0, 0, 2, 3] = 100, 50, 10
    found = apply(image, blur.defocus_blur, (1, 0.01))[0, 0]
    # Beyond the edge the pixels before it lie again: right of (2, 4) is (2, 3), so that (2, 4) becomes (10 + 10) / 5.
    assert found.tolist() == [[0, 0, 20, 0, 0], [0, 10, 30, 12, 0], [0, 20, 32, 22, 4], [0, 0, 20, 2, 0], [0, 0, 0, 0, 0]]


# ---------------------------------------------------------------- glass


class ScriptedRng:
    """Gives `integers(low, high, 2)` from a list."""

    def __init__(self, pairs: Int64) -> None:
        self.pairs = iter(pairs.tolist())

    def integers(self, low: int, high: int, n: int) -> list[int]:
        pair: list[int] = next(self.pairs)
        assert n == len(pair) == 2
        assert all(low <= step < high for step in pair)
        return pair


def glass_steps(field: RandomField, image: int, height: int, width: int, reach: int, passes: int) -> Int64:
    """(right, down) of an image's pixels in the order of the scan, from the field's numbers."""
    steps = np.empty((passes, height, width, 2), np.int64)
    for stream in range(passes):
        if reach == 1:
            octets = field.bits((height * width + 3) // 4, stream).numpy().view(np.uint8)[image, : height * width]
            steps[stream] = -np.stack([octets & 1, octets >> 1 & 1], axis=1).astype(int).reshape(height, width, 2)
        else:
            down, right = np.floor(field.uniform(2 * height * width, stream)[image].numpy() * 2 * reach).reshape(2, height, width)
            steps[stream] = np.stack([right, down], axis=2) - reach
    scanned = steps[:, reach + 1 : height - reach + 1, reach + 1 : width - reach + 1]
    return scanned[:, ::-1, ::-1].reshape(-1, 2)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 13, 9), (3, 7, 10), (1, 3, 3), (1, 2, 6), (1, 1, 1)])
@pytest.mark.parametrize("parameter", [(0.05, 1, 1), (0.4, 1, 2), (0.6, 1, 3), (0.9, 2, 2), (1.1, 3, 2), (1.5, 4, 2)])
def test_glass_blur_copies_pixel_after_pixel_as_its_definition(parameter: tuple[float, int, int], shape: tuple[int, int, int]) -> None:
    images = make_images(2, *shape)
    field = field_of(2, "glass")
    found = blur.glass_blur(torch.from_numpy(images), parameter, field).numpy()
    for k, image in enumerate(images):
        rng: Any = ScriptedRng(glass_steps(field, k, *shape[1:], *parameter[1:]))
        assert np.array_equal(found[k].transpose(1, 2, 0), reading.glass_blur(image.transpose(1, 2, 0), parameter, rng))
        assert not list(rng.pairs)  # all steps were asked for


@pytest.mark.parametrize("reach", [1, 2, 4])
def test_the_steps_of_glass_are_uniform(reach: int) -> None:
    steps = np.concatenate([glass_steps(field_of(20, "steps"), k, 32, 32, reach, 1) for k in range(20)])
    counts = np.unique(steps, axis=0, return_counts=True)[1]
    assert len(counts) == (2 * reach) ** 2
    expected = len(steps) / len(counts)
    assert ((counts - expected) ** 2 / expected).sum() < len(counts) + 5 * np.sqrt(2 * len(counts))  # chi-square


def test_values_come_from_where_the_overwritten_pixels_had_them() -> None:
    # Scanned from the last: 4 reads 0; then 3 reads 4, which has the value of 0 by now; 2 reads itself; 1 reads 3. 0 is not scanned.
    source = torch.tensor([[0, 3, 2, 4, 0]])
    moved = torch.tensor([False, True, True, True, True])
    assert blur.settled_sources(source, moved).tolist() == [[0, 0, 2, 0, 0]]
    ahead = torch.tensor([[0, 0, 1, 2, 3]])
    assert torch.equal(blur.settled_sources(ahead, moved), ahead)  # nothing was overwritten before it was read


@pytest.mark.parametrize("severity", SEVERITIES)
def test_glass_blur_has_the_statistics_of_an_independent_sample(severity: int) -> None:
    images = make_images(24, 1)
    parameter = strength("glass_blur", severity, height=32, width=32)
    found = apply(images, blur.glass_blur, parameter).astype(float) - images
    expected = read(images, reading.glass_blur, parameter).astype(float) - images
    # Between the two draws only the steps differ; the spread over images of what they change tells the error.
    statistics = np.stack([[d.mean((1, 2, 3)), (d**2).mean((1, 2, 3)), (d != 0).mean((1, 2, 3))] for d in (found, expected)])
    change = statistics[0] - statistics[1]  # (3, N)
    assert (np.abs(change.mean(1)) < 4 * change.std(1) / np.sqrt(len(images))).all()


# ---------------------------------------------------------------- motion


def test_motion_blur_turns_each_image_by_its_own_angle() -> None:
    images = torch.from_numpy(make_images(50))
    degrees = field_of(50, "motion").uniform(1)[:, 0].double() * 90 - 45
    found = blur.motion_blur(images, (8, 2), field_of(50, "motion"))
    for k, angle in enumerate(degrees.tolist()):
        alone = motion_blur(images[k : k + 1], radius=8, sigma=2, degrees=torch.tensor([angle], dtype=torch.float64))
        assert torch.equal(found[k], alone[0])


def test_the_angles_of_motion_blur_are_uniform_over_a_quarter_turn() -> None:
    # A point is drawn out to the left, up or down; the trail's end, at tap 10, is y = round(10 sin(angle)) rows away.
    n = 4000
    point = torch.zeros((n, 1, 21, 21), dtype=torch.uint8)
    point[:, :, 10, 10] = 255
    trail = blur.motion_blur(point, (5, 50), field_of(n, "angles"))[:, 0].amax(2) > 0  # about equal weights at 11 taps
    rows = torch.arange(21)
    away = torch.where(trail, 10 - rows, 0)
    found = torch.bincount(away.amax(1) + away.amin(1) + 7, minlength=15).numpy()  # one of the two is 0
    edges = np.clip(np.degrees(np.arcsin((np.arange(-7, 9) - 0.5) / 10)), -45, 45)
    expected = n * np.diff(edges) / 90
    assert ((found - expected) ** 2 / expected).sum() < 15 + 4 * np.sqrt(2 * 15)  # chi-square


@pytest.mark.parametrize("name", ["defocus_blur", "gaussian_blur", "zoom_blur", "glass_blur", "motion_blur"])
def test_an_image_is_blurred_alike_in_any_batch(name: str) -> None:
    n = 90  # several blocks
    images = torch.from_numpy(make_images(n))
    whole = corrupt(images, name, 5, seed=3, indices=torch.arange(n))
    for k in range(0, n, 13):
        assert torch.equal(corrupt(images[k : k + 1], name, 5, seed=3, indices=torch.tensor([k])), whole[k : k + 1])


def test_the_zoom_blur_of_large_images_is_that_of_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above some number of pixels zooms are added one after the other, without the matrix of pixels by pixels."""
    plain = np.broadcast_to(np.arange(0, 250, 10, dtype=np.uint8)[:, None, None, None], (25, 3, 40, 56))
    images = torch.from_numpy(np.concatenate([make_images(6, 3, 40, 56), plain]))
    indices = torch.arange(len(images))
    for severity in SEVERITIES:
        small = corrupt(images, "zoom_blur", severity, seed=0, indices=indices)
        with monkeypatch.context() as patch:
            patch.setattr(blur, "_MOST_PIXELS", 100)
            large = corrupt(images, "zoom_blur", severity, seed=0, indices=indices)
        difference = (small.int() - large.int()).abs()
        assert int(difference.max()) <= 1
        assert float((difference > 0).double().mean()) < 0.001
        assert torch.equal(small[6:], large[6:])  # plain areas
