"""Images/s and peak memory of loading a folder of large JPEGs for the first time, and again: `python -m tests.benchmarks.bench_decode`.

Memory is anonymous memory (RssAnon), the part that a process needs for itself; pages of a mapped file are the page cache's, which the
system takes back whenever it likes. A process of its own loads the folder, and is watched, its workers too, some fifty times a second.

The bound: the loading process grows by `LOADER_BYTES` and by `BYTES_A_FILE` for each file (its name, label and hash), and each worker is
an interpreter, NumPy, Pillow and one photograph: `WORKER_BYTES` for up to some 10 megapixels. The pixels of the set do not count, unless
it is so small (under 2 GiB) that it is loaded into ordinary memory on purpose.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageFilter

BYTES_A_FILE: Final = 1_000
LOADER_BYTES: Final = 64 << 20  # the constant part: the pool, its queues, and two batches of 64 images of 224 px as they are read
WORKER_BYTES: Final = 64 << 20

# Reports when its imports are done, then what it loaded; `mean` reads every row once, as an epoch does.
_LOADER: Final = """
import json, sys, time
import bsd_core.data.sources.large as large
from bsd_core.data.sources import load_source
from bsd_core.data.host_images import to_device
import torch
torch.set_num_threads(1)
folder, data_dir, in_memory_bytes = sys.argv[1:]
large.IN_MEMORY_BYTES = int(in_memory_bytes)
print("ready", flush=True)
input()
started = time.perf_counter()
source = load_source(f"folder:{folder}", data_dir=data_dir)
seconds = time.perf_counter() - started
images = to_device(source.train.images, torch.device("cpu"))
started = time.perf_counter()
brightest = max(int(images[rows].max()) for rows in torch.randperm(len(images)).split(64))
print(json.dumps({
    "seconds": seconds,
    "read_seconds": time.perf_counter() - started,
    "n_train": len(source.train),
    "n_test": len(source.test),
    "kind": type(source.train.images).__name__,
    "brightest": brightest,
}), flush=True)
"""


@dataclass(frozen=True)
class LoadResult:
    """One load in a process of its own; bytes are anonymous memory."""

    n_images: int
    kind: str  # class of the images: MappedImages or ndarray
    seconds: float
    images_per_second: float
    read_images_per_second: float  # of one epoch in random order, through HostImages
    loader_bytes: int  # growth of the loading process
    worker_bytes: int  # peak of the largest worker
    total_bytes: int  # peak of the growth and all workers together
    n_workers: int
    bound_bytes: int


def write_folder(root: Path, n_images: int, *, n_distinct: int = 200, n_classes: int = 10, size: tuple[int, int] = (224, 224)) -> None:
    """`n_images` JPEGs of `size` (width, height) in root/<class>/: links to `n_distinct` different pictures, decoded all the same."""
    rng = np.random.default_rng(0)
    pictures = root / ".pictures"
    pictures.mkdir(parents=True)
    width, height = size
    for index in range(n_distinct):
        coarse = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).filter(ImageFilter.DETAIL)
        picture.save(pictures / f"{index}.jpg", quality=90)
    for label in range(n_classes):
        (root / f"class_{label:03d}").mkdir()
    for index in range(n_images):
        os.link(pictures / f"{index % n_distinct}.jpg", root / f"class_{index % n_classes:03d}" / f"{index:06d}.jpg")


def _anonymous_bytes(pid: int) -> int:
    lines = _read(Path(f"/proc/{pid}/status")).splitlines()
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), 0)


def _children(pid: int) -> Iterator[int]:
    """Child processes, but not those that are still a fork of `pid`, about to become a worker: their pages are their parent's."""
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in _read(listed).split():
            if _read(Path(f"/proc/{child}/cmdline")) != _read(Path(f"/proc/{pid}/cmdline")):
                yield int(child)


def _read(path: Path) -> str:
    """The text of a file of /proc, empty where the process has just ended."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def measure_load(folder: Path, data_dir: Path, *, in_memory_bytes: int = 2 << 30) -> LoadResult:
    """Load `folder` in a process of its own and watch it until it ends."""
    command = [sys.executable, "-c", _LOADER, str(folder), str(data_dir), str(in_memory_bytes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as loader:
        assert loader.stdin is not None
        assert loader.stdout is not None
        assert loader.stdout.readline() == "ready\n"
        before = _anonymous_bytes(loader.pid)
        loader.stdin.write("\n")
        loader.stdin.close()
        largest_growth = largest_worker = largest_total = n_workers = 0
        while loader.poll() is None:
            workers = [_anonymous_bytes(pid) for pid in _children(loader.pid)]
            growth = _anonymous_bytes(loader.pid) - before
            largest_growth, largest_worker = max(largest_growth, growth), max([largest_worker, *workers])
            largest_total, n_workers = max(largest_total, growth + sum(workers)), max(n_workers, len(workers))
            time.sleep(0.02)
        report = json.loads(loader.stdout.read())
    n_images = report["n_train"] + report["n_test"]
    return LoadResult(
        n_images=n_images,
        kind=report["kind"],
        seconds=report["seconds"],
        images_per_second=n_images / report["seconds"],
        read_images_per_second=report["n_train"] / report["read_seconds"],
        loader_bytes=largest_growth,
        worker_bytes=largest_worker,
        total_bytes=largest_total,
        n_workers=n_workers,
        bound_bytes=LOADER_BYTES + BYTES_A_FILE * n_images + WORKER_BYTES * n_workers,
    )


def main(n_images: int = 20_000, size: tuple[int, int] = (224, 224)) -> None:
    """Write a folder, load it twice, print both."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, data_dir = Path(temporary, "images"), Path(temporary, "data")
        write_folder(folder, n_images, size=size)
        pixels = n_images * 3 * 224**2
        print(f"{n_images:,} JPEGs of {size[0]}x{size[1]}, {pixels / 2**20:,.0f} MiB of pixels, {len(os.sched_getaffinity(0))} cores")
        for name in ("first load", "second load"):
            result = measure_load(folder, data_dir)
            bound = f"{result.bound_bytes / 2**20:.0f} MiB" if result.kind == "MappedImages" else "none: a small set is in memory"
            print(
                f"{name}: {result.seconds:.1f} s, {result.images_per_second:,.0f} images/s, then {result.kind} read in random order at "
                f"{result.read_images_per_second:,.0f} images/s\n"
                f"    peak of anonymous memory {result.total_bytes / 2**20:.0f} MiB (bound {bound}): "
                f"loading process +{result.loader_bytes / 2**20:.0f} MiB, "
                f"{result.n_workers} child processes of at most {result.worker_bytes / 2**20:.0f} MiB"
            )


if __name__ == "__main__":
    main()
