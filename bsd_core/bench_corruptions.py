"""How fast the corruptions are, all of them at every severity: `python -m bsd_core bench --corruptions`."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.bench import seconds_by_round
from bsd_core.robustness.corruptions import CORRUPTIONS, corrupt
from bsd_core.robustness.corruptions.severities import SEVERITIES

Cell = tuple[str, int]  # corruption, severity
CELLS: Final[tuple[Cell, ...]] = tuple((name, severity) for name in CORRUPTIONS for severity in SEVERITIES)


@dataclass(frozen=True)
class SuiteTimes:
    """Seconds of each corruption at each severity.

    Attributes:
        n_images: that were corrupted.
        seconds: by cell, of each round.
    """

    n_images: int
    seconds: dict[Cell, list[float]]

    def median(self, cell: Cell) -> float:
        """Median over rounds."""
        return statistics.median(self.seconds[cell])

    def total(self, names: Sequence[str] = CORRUPTIONS, severities: Sequence[int] = SEVERITIES) -> list[float]:
        """Of each round, summed over some cells."""
        chosen = [self.seconds[name, severity] for name in names for severity in severities]
        return [sum(each) for each in zip(*chosen, strict=True)]

    @property
    def slowest(self) -> Cell:
        """By median."""
        return max(self.seconds, key=self.median)

    def lines(self) -> Iterator[str]:
        """A table of microseconds an image, then sums for 10,000 images."""
        microseconds = 1e6 / self.n_images
        yield f"{'us an image, severity':22}" + "".join(f"{severity:9}" for severity in SEVERITIES) + f"{'mean':>9}"
        for name in CORRUPTIONS:
            medians = [microseconds * self.median((name, severity)) for severity in SEVERITIES]
            yield f"{name:22}" + "".join(f"{each:9.2f}" for each in (*medians, statistics.fmean(medians)))
        for_many = 10_000 / self.n_images
        whole, name = for_many * statistics.median(self.total()), self.slowest[0]
        label = "" if self.n_images == 10_000 else f", scaled from {self.n_images:,}"
        yield f"whole suite, {len(self.seconds)} cells, 10,000 images{label}: {whole:.2f} s (n = {len(self.total())} rounds)"
        without = [each for each in CORRUPTIONS if each != "jpeg_compression"]
        yield f"    without jpeg_compression: {for_many * statistics.median(self.total(without)):.2f} s"
        yield f"    slowest: {name} at severity {self.slowest[1]}, {for_many * self.median(self.slowest):.2f} s"


def measure_suite(images: Tensor, *, rounds: int) -> SuiteTimes:
    """Corrupt (N, C, H, W) uint8 images in every way, on their device, cells in turns."""
    indices = torch.arange(len(images), device=images.device)
    works = {f"{name} {severity}": partial(corrupt, images, name, severity, seed=0, indices=indices) for name, severity in CELLS}
    seconds = seconds_by_round(works, rounds=rounds, device=images.device)
    return SuiteTimes(len(images), {(name, severity): seconds[f"{name} {severity}"] for name, severity in CELLS})


def patterned_images(n: int, size: int) -> Tensor:
    """(n, 3, size, size) uint8, coarse random colours made smooth, and noise: neighbours are alike, as in photographs."""
    generator = torch.Generator().manual_seed(0)
    coarse = 255 * torch.rand((n, 3, 4, 4), generator=generator)
    smooth = functional.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    return smooth.add_(torch.randn(smooth.shape, generator=generator), alpha=8).clamp_(0, 255).to(torch.uint8)


def peak_growth(images: Tensor, cells: Sequence[Cell]) -> int | None:
    """Bytes by which memory grew at most, over what was in use before: of the GPU, or of this process; None where nobody counts.

    Of a process that had once used more than now, this is an upper bound.
    """
    indices = torch.arange(len(images), device=images.device)

    def work() -> None:
        for name, severity in cells:
            corrupt(images, name, severity, seed=0, indices=indices)

    if images.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(images.device)
        before = torch.cuda.memory_allocated(images.device)
        work()
        return torch.cuda.max_memory_allocated(images.device) - before
    if sys.platform != "linux":
        return None
    import resource

    with open("/proc/self/statm", encoding="ascii") as file:
        resident = int(file.read().split()[1]) * resource.getpagesize()
    work()
    return max(0, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident)  # the two counts may differ by some pages


def run(*, n_images: int, size: int, device: torch.device, rounds: int) -> None:
    """Measure and print."""
    images = patterned_images(n_images, size).to(device)
    growth = peak_growth(images, CELLS)
    print(f"{n_images:,} patterned images of 3x{size}x{size}")
    for line in measure_suite(images, rounds=rounds).lines():
        print(line)
    if growth is not None:
        print(f"    memory in use grew by at most {growth / 1e6:.0f} MB")
