"""All corruptions at every severity, on one thread, and per-image NumPy/SciPy/Pillow readings of the same definitions in the same run.

ours     `corrupt` on CIFAR-sized images, every corruption at every severity; seconds are scaled to 10,000 images where fewer are used
reading  tests/bsd_core/robustness/readings: one image at a time, as the definition says it; severities 1, 3 and 5
memory   what a fresh process grows by while it corrupts 10,000 images
GPU      the suite over 10,000 images on the device, where there is one

The reference's own number is quoted, not measured: it needs libraries of 2018 and ImageMagick.
"""

from __future__ import annotations

import importlib
import io
import multiprocessing
import statistics
from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from bsd_core.bench import Spread, ratio, seconds_by_round
from bsd_core.bench_corruptions import CELLS, SuiteTimes, measure_suite, peak_growth
from bsd_core.robustness.corruptions import corrupt
from bsd_core.robustness.corruptions.severities import strength
from tests._dummies import SHARED, UInt8, make_images

# The reference needs 53 ms for one image through its 19 functions: one core of a like machine, mean over severities 1, 3 and 5.
REFERENCE_SECONDS: Final = 0.053
REFERENCE_SEVERITIES: Final = (1, 3, 5)
# Where the readings of these corruptions stand. Frost twice: its picture resized for every image, as the reference does, and beforehand.
READINGS: Final = {
    "gaussian_noise": "noise",
    "glass_blur": "blur",
    "motion_blur": "blur",
    "zoom_blur": "blur",
    "frost": "weather",
    "frost, resized once": "weather",
    "jpeg_compression": "digital",
}
_N_WHOLE: Final = 10_000  # images of the measurement of memory, and of a GPU
_N_READ: Final = 5  # images a severity

Reading = Callable[[UInt8, Any, np.random.Generator], UInt8]


@dataclass(frozen=True)
class ReadingResult:
    """One corruption, microseconds an image, mean over `REFERENCE_SEVERITIES`, median over rounds; `ratio` is reading / ours."""

    ours: float
    reading: float
    ratio: Spread


@dataclass(frozen=True)
class CorruptionsResult:
    """Everything of one run.

    Attributes:
        images: what was corrupted.
        suite: times of ours on one thread.
        readings: by corruption.
        grown_bytes: of a fresh process; None where nobody counts.
        gpu: its name and the times there, 10,000 images; None without a GPU.
    """

    images: str
    suite: SuiteTimes
    readings: dict[str, ReadingResult]
    grown_bytes: int | None
    gpu: tuple[str, SuiteTimes] | None

    @property
    def reference_ratio(self) -> float:
        """The reference's quoted seconds for an image through 19 functions / ours, mean over the same severities."""
        ours = statistics.median(self.suite.total(severities=REFERENCE_SEVERITIES)) / len(REFERENCE_SEVERITIES) / self.suite.n_images
        return REFERENCE_SECONDS / ours


def load_images(n: int) -> tuple[str, UInt8]:
    """Test images of CIFAR-10 where they lie beside the repository, otherwise made: (what they are, (n, 3, 32, 32))."""
    file = SHARED / "data" / "cifar10" / "test-00000-of-00001.parquet"
    if not file.is_file():
        return "made", make_images(n)
    encoded = pq.read_table(file, columns=["img"]).slice(0, n)["img"].to_pylist()
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(each["bytes"])).convert("RGB")) for each in encoded])
    return "of CIFAR-10 (JPEG copy)", np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def _reading(label: str, height: int, width: int) -> tuple[Reading, list[Any]]:
    """The reading, and its parameters at `REFERENCE_SEVERITIES`."""
    name, *resized = label.split(", ")
    reading = getattr(importlib.import_module(f"tests.bsd_core.robustness.readings.{READINGS[label]}"), name)
    parameters = [strength(name, severity, height=height, width=width) for severity in REFERENCE_SEVERITIES]
    if name != "frost":
        return reading, parameters
    side = 200 if resized else 1000
    pictures = list(np.random.default_rng(0).integers(0, 256, (5, side, side, 3), dtype=np.uint8))
    return partial(reading, pictures=pictures), [(keep, cover, 1) for keep, cover, _ in parameters] if resized else parameters


def _read(reading: Reading, images: list[UInt8], parameters: list[Any]) -> None:
    rng = np.random.default_rng(0)
    for parameter in parameters:
        for image in images:
            reading(image, parameter, rng)


def measure(images: UInt8, *, rounds: int) -> tuple[SuiteTimes, dict[str, ReadingResult]]:
    """Ours on (N, 3, 32, 32) images and the readings on a few of them, in alternation, on the threads that torch has now."""
    ours = torch.from_numpy(images)
    few = [np.ascontiguousarray(image.transpose(1, 2, 0)) for image in images[:_N_READ]]
    height, width = images.shape[2:]
    works: dict[str, Callable[[], object]] = {
        f"{name} {severity}": partial(corrupt, ours, name, severity, seed=0, indices=torch.arange(len(images))) for name, severity in CELLS
    }
    for label in READINGS:
        reading, parameters = _reading(label, height, width)
        works[f"reading {label}"] = partial(_read, reading, few, parameters)
    seconds = seconds_by_round(works, rounds=rounds)
    suite = SuiteTimes(len(images), {(name, severity): seconds[f"{name} {severity}"] for name, severity in CELLS})
    readings = {}
    for label in READINGS:
        per_image = [each / len(REFERENCE_SEVERITIES) / len(images) for each in suite.total([label.split(", ")[0]], REFERENCE_SEVERITIES)]
        read_per_image = [each / len(REFERENCE_SEVERITIES) / len(few) for each in seconds[f"reading {label}"]]
        readings[label] = ReadingResult(
            1e6 * statistics.median(per_image), 1e6 * statistics.median(read_per_image), ratio(read_per_image, per_image)
        )
    return suite, readings


def _growth(n: int) -> int | None:
    torch.set_num_threads(1)
    images: Tensor = torch.from_numpy(make_images(1)).repeat(n, 1, 1, 1)
    return peak_growth(images, CELLS)


def run(*, rounds: int = 5, n_images: int = 2000) -> CorruptionsResult:
    """One thread, but for the GPU."""
    kind, images = load_images(n_images)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        suite, readings = measure(images, rounds=rounds)
    finally:
        torch.set_num_threads(threads)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        grown = pool.apply(_growth, (_N_WHOLE,))
    gpu = None
    if torch.cuda.is_available():
        many = torch.from_numpy(images).cuda().repeat(-(-_N_WHOLE // n_images), 1, 1, 1)[:_N_WHOLE]
        gpu = torch.cuda.get_device_name(), measure_suite(many, rounds=max(2, rounds // 2))
    return CorruptionsResult(f"{n_images:,} images {kind}, 3x32x32", suite, readings, grown, gpu)


def main() -> None:
    """Measure and print."""
    result = run()
    rounds = len(result.suite.total())
    print(f"(g) corruptions, {result.images}, one thread, median of {rounds} rounds")
    for line in result.suite.lines():
        print(f"    {line}")
    if result.grown_bytes is not None:
        grown = f"{result.grown_bytes / 1e6:.0f} MB"
        print(f"    a fresh process grew by {grown} ({_N_WHOLE:,} images, all 95 cells)")
    print(
        f"    {'us an image':22}{'ours':>9}{'reading':>11}  reading / ours (quartiles)   severities 1, 3, 5; per-image NumPy/SciPy/Pillow"
    )
    for label, reading in result.readings.items():
        median, low, high = (f"{each:,.0f}" if each >= 20 else f"{each:.1f}" for each in astuple(reading.ratio))
        spread = f"{median} ({low} to {high})"
        print(f"    {label:22}{reading.ours:9.2f}{reading.reading:11.0f}  {spread}")
    print(
        f"    reference: {1e3 * REFERENCE_SECONDS:.0f} ms an image through its 19 functions (quoted: one core of a like machine, "
        f"severities 1, 3, 5); / ours = {result.reference_ratio:,.0f}"
    )
    if result.gpu is None:
        print("    GPU: none here, not measured\n", flush=True)
        return
    name, times = result.gpu
    print(f"    {name}, {_N_WHOLE:,} images")
    for line in times.lines():
        print(f"    {line}")
    print(flush=True)
