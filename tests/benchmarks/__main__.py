"""`make bench`: ratios against baselines measured in the same run; prints the machine, n and the spread.

`python -m tests.benchmarks step` (or `study`, `reference`, `evaluate`, `memory`, `decode`, `corruptions`, `halving`, `driver`, `tables`,
`report`) runs one of them; `driver=500` and `tables=500` are of 500 trials in place of 5,000. What one of them needs is imported by
itself, so that it does not weigh in the memory that another one measures.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import torch
from rich.console import Console

from bsd_core.accelerate import keep_freed_memory
from studies.provenance import processor


def _step(console: Console) -> None:
    from tests.benchmarks import bench_step

    rounds = 15
    print("(a) full training step against its lower bound, images/s (primaries), one thread")
    print(f"{'images':32}{'method':22}{'ours':>8}{'bound':>8}  {'bound/ours (quartiles)':24}passes a primary")
    for case, result in bench_step.run(rounds=rounds):
        ratio = f"{result.ratio.median:.2f} ({result.ratio.low:.2f} to {result.ratio.high:.2f})"
        speeds = f"{result.images_per_second:8,.0f}{result.bound_images_per_second:8,.0f}"
        print(f"{case:32}{result.method:22}{speeds}  {ratio:24}{result.passes}", flush=True)
    print(f"bound = the same passes on constant batches and the optimiser. Median of {rounds} (CIFAR-sized: {rounds // 2}) rounds.\n")


def _study(console: Console) -> None:
    from tests.benchmarks import bench_study

    result = bench_study.run()
    console.print(f"(b) study {result.study}: {result.n_trials} trials, {result.slots} at once, n = 1", highlight=False)
    console.print(f"    wall {result.wall_seconds:.1f} s, of which start-up {result.start_seconds:.1f} s", highlight=False)
    console.print(f"    training {result.train_seconds:.1f} s = {result.train_seconds / result.slots:.1f} s a slot", highlight=False)
    console.print(f"    (wall - start-up) / (training / slots) = {result.ratio:.3f}", highlight=False)


def _reference(console: Console) -> None:
    from tests.benchmarks import bench_reference

    rounds = 9
    result = bench_reference.run(rounds=rounds)
    console.print(f"(c) CS-KD's published step against ours, resnet8, {result.images}, two threads, n = {rounds}", highlight=False)
    for workers, speed in result.published_images_per_second.items():
        console.print(f"    published {speed:,.0f} images/s (primaries) with {workers} loader workers", highlight=False)
    for precision, ratio in result.ratios.items():
        spread = f"{ratio.median:.2f}, quartiles {ratio.low:.2f} to {ratio.high:.2f}"
        speed = result.images_per_second[precision]
        console.print(f"    ours {speed:,.0f} images/s in {precision}; ours / faster published = {spread}", highlight=False)
    console.print()


def _evaluate(console: Console) -> None:
    from tests.benchmarks import bench_evaluate

    rounds = 7
    result = bench_evaluate.run(rounds=rounds)
    console.print(f"(d) evaluation with all metrics, resnet8, 10,000 images 3x32x32, one thread, n = {rounds}", highlight=False)
    console.print(f"    evaluation {result.seconds:.2f} s, bare forward pass {result.bare_seconds:.2f} s", highlight=False)
    ratio = result.ratio
    console.print(f"    evaluation / bare = {ratio.median:.3f}, quartiles {ratio.low:.3f} to {ratio.high:.3f}\n", highlight=False)


def _memory(console: Console) -> None:
    from tests.benchmarks import bench_memory

    seeds = 5
    print(f"(e) BSD's table as large as ImageNet's, and digits with 40 % symmetric noise, mean ± spread of {seeds} seeds, percent")
    print(f"{'memory':12}{'GB':>7}{'grown':>8}{'accuracy':>16}{'ECE':>16}{'label recovery':>18}{'target distance':>17}")
    for result in bench_memory.run(seeds=seeds):
        grown = "" if result.grown_bytes is None else f"{result.grown_bytes / 1e9:.2f}"
        spreads = [f"{100 * mean:.1f} ± {100 * spread:.1f}" for mean, spread in (result.accuracy, result.ece, result.label_recovery)]
        row = f"{spreads[0]:>16}{spreads[1]:>16}{spreads[2]:>18}{100 * result.distance:>17.2f}"
        print(f"{result.memory:12}{result.n_bytes / 1e9:>7.2f}{grown:>8}{row}", flush=True)
    print()


def _decode(console: Console) -> None:
    from tests.benchmarks import bench_decode

    print("(f) a folder of 20,000 JPEGs of 224 px, loaded for the first time and again", flush=True)
    bench_decode.main()


def _corruptions(console: Console) -> None:
    from tests.benchmarks import bench_corruptions

    bench_corruptions.main()


def _halving(console: Console) -> None:
    from tests.benchmarks import bench_halving

    bench_halving.main()


def _driver(console: Console, trials: int = 5000) -> None:
    from tests.benchmarks import bench_driver

    print(
        f"(i) the driver's cost of {trials:,} trials of {bench_driver.EPOCHS} epochs that train nothing, on a local Ray, n = 1", flush=True
    )
    result = bench_driver.run(trials=trials)
    cpu, wall = (1e3 * seconds / result.n_trials for seconds in (result.cpu_seconds, result.wall_seconds))
    console.print(f"    {result.n_trials:,} trials; CPU {cpu:.1f} ms a trial, wall {wall:.1f} ms a trial", highlight=False)
    memory = f"{result.peak_bytes / 1e6:.0f} MB at its peak, of which {result.before_bytes / 1e6:.0f} MB before the first trial"
    console.print(f"    driver's memory {memory}; ledger {result.ledger_bytes / 1e6:.0f} MB\n", highlight=False)


def _tables(console: Console, trials: int = 5000) -> None:
    from tests.benchmarks import bench_tables

    print(f"(j) tables and front of {trials:,} trials of {bench_tables.EPOCHS} epochs, n = 1", flush=True)
    for corruptions in (0, 19):
        result = bench_tables.run(trials=trials, corruptions=corruptions)
        console.print(f"    {corruptions} corruptions: ledger {result.ledger_bytes / 1e6:.0f} MB, {result.n_bins:,} bins", highlight=False)
        seconds = f"build {result.build_seconds:.2f} s, write {result.write_seconds:.2f} s"
        memory = f"memory {result.before_bytes / 1e6:.0f} MB before, {result.peak_bytes / 1e6:.0f} MB at its peak"
        console.print(f"      {seconds}; {memory}", highlight=False)
        console.print(f"      front {result.front_seconds:.2f} s; with all to be made {result.first_front_seconds:.2f} s", highlight=False)
    console.print()


def _report(console: Console, trials: int = 500) -> None:
    from tests.benchmarks import bench_report

    result = bench_report.run(trials=trials)
    console.print(f"(k) report of {result.n_searched} trials and {result.n_confirming} confirming trainings, n = 1", highlight=False)
    seconds = f"{result.first_seconds:.1f} s with maps of features to be made, {result.again_seconds:.1f} s with these kept"
    console.print(f"    {seconds}; page {result.page_bytes / 1e6:.1f} MB\n", highlight=False)


def main() -> None:
    """Run what the arguments name, or everything."""
    console = Console(width=110)
    keep_freed_memory()  # as every process that trains does
    cores = len(os.sched_getaffinity(0))
    console.print(f"{processor()}, {cores} cores usable, torch {torch.__version__}\n", highlight=False)
    parts: dict[str, Callable[..., None]] = {
        "step": _step,
        "study": _study,
        "reference": _reference,
        "evaluate": _evaluate,
        "memory": _memory,
        "decode": _decode,
        "corruptions": _corruptions,
        "halving": _halving,
        "driver": _driver,
        "tables": _tables,
        "report": _report,
    }
    unknown = [argument for argument in sys.argv[1:] if argument.partition("=")[0] not in parts]
    if unknown:
        sys.exit(__doc__ if unknown[0] in ("-h", "--help") else f"error: no part {unknown[0]!r}; known: {', '.join(parts)}.")
    for argument in sys.argv[1:] or parts:
        name, _, trials = argument.partition("=")
        parts[name](console, *([int(trials)] if trials else []))


if __name__ == "__main__":
    main()
