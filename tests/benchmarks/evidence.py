"""Does the science work? Every method on noisy labels, equal budgets, several seeds, as one Markdown table.

    python -m tests.benchmarks.evidence --dataset parquet:<folder with CIFAR-10> --out evidence.jsonl

Each method trains with the first published settings of its search space, fixed before anything was run, under one recipe for all; BSD, of
which none are published, with our first and our second point. The test split judges the last epoch's network and chooses nothing; the
temperature is fitted on validation images that are not trained on. A run that is cut goes on where it was: finished trainings are read from
the file.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bsd_core.accelerate import keep_freed_memory
from bsd_core.config import AugmentConfig, TrainConfig
from bsd_core.data.images import ImageSet
from bsd_core.data.label_noise import spoil_labels
from bsd_core.data.sources import load_source
from bsd_core.data.splits import subset
from bsd_core.errors import BSDError
from bsd_core.evaluate import predict
from bsd_core.metrics import calibration, classification
from bsd_core.seeds import derive_seed
from bsd_core.train import Recipe, Trainer
from search_spaces import SEARCH_SPACES, SHARED

N_TRAIN, N_VAL = 10_000, 2_000
COLUMNS = ("test accuracy %", "ECE %", "NLL", "ECE after T %", "label recovery %", "memorised %")
Row = dict[str, Any]


@dataclass(frozen=True)
class Data:
    """What every training gets."""

    train: ImageSet
    val: ImageSet
    test: ImageSet
    augment: AugmentConfig


def load(dataset: str, data_dir: str) -> Data:
    """10,000 training and 2,000 validation images, or all in these shares where there are fewer, stratified and fixed; the test images."""
    source = load_source(dataset, data_dir=data_dir)
    both = subset(source.train, min(N_TRAIN + N_VAL, len(source.train)), seed=0)
    order = np.random.default_rng(0).permutation(len(both))
    n_train = len(both) * N_TRAIN // (N_TRAIN + N_VAL)
    return Data(both.select(order[:n_train]), both.select(order[n_train:]), source.test, source.augment)


def train_and_measure(data: Data, method: str, seed: int, *, epochs: int, width: int, noise_rate: float) -> Row:
    """One training; the noise is drawn anew for every seed and is the same for all methods of it."""
    torch.set_num_threads(1)
    keep_freed_memory()
    name, _, which = method.partition(":")
    published = SEARCH_SPACES[name].published[int(which or 1) - 1]
    config = TrainConfig(epochs=epochs, batch_size=128, learning_rate=0.1, weight_decay=5e-4)
    settings = {name: value for name, value in published.items() if name not in SHARED}
    true = torch.from_numpy(data.train.targets)
    noise_seed = derive_seed(seed, "noise")
    given = torch.as_tensor(spoil_labels(data.train.targets, "symmetric", noise_rate, n_classes=data.train.n_classes, seed=noise_seed))
    recipe = Recipe(method=name, settings=settings, model="resnet8", width=width, train=config, augment=data.augment, seed=seed)
    trainer = Trainer(recipe, torch.from_numpy(data.train.images), given, true=true, n_classes=data.train.n_classes)
    started = time.perf_counter()
    records = list(trainer.records())
    seconds = time.perf_counter() - started
    val = predict(trainer.network, torch.from_numpy(data.val.images), trainer.normaliser)
    test = predict(trainer.network, torch.from_numpy(data.test.images), trainer.normaliser)
    temperature = calibration.fit_temperature(val, torch.from_numpy(data.val.targets))
    targets = torch.from_numpy(data.test.targets)
    probs, scaled = test.softmax(1), (test / temperature).softmax(1)
    return {
        "method": method,
        "seed": seed,
        "settings": settings,
        "images_seen": sum(record.images_seen for record in records),
        "seconds": seconds,
        "temperature": temperature,
        "test accuracy %": 100 * float(classification.accuracy(probs, targets)),
        "ECE %": 100 * float(calibration.expected_calibration_error(probs, targets)),
        "NLL": float(classification.negative_log_likelihood(probs, targets)),
        "ECE after T %": 100 * float(calibration.expected_calibration_error(scaled, targets)),
        "label recovery %": 100 * float(records[-1].label_recovery or 0.0),
        "memorised %": 100 * float(records[-1].memorised or 0.0),
    }


def table(rows: list[Row]) -> Iterator[str]:
    """Markdown: mean ± standard deviation over seeds, most accurate first."""
    yield f"| method | images | {' | '.join(COLUMNS)} |"
    yield "|---|---:|" + "---:|" * len(COLUMNS)
    by_method: dict[str, list[Row]] = {}
    for row in rows:
        by_method.setdefault(row["method"], []).append(row)
    least = min(row["images_seen"] for row in rows)
    for method, runs in sorted(by_method.items(), key=lambda item: -statistics.mean(run[COLUMNS[0]] for run in item[1])):
        cells = []
        for column in COLUMNS:
            values = [run[column] for run in runs]
            digits = 2 if column == "NLL" else 1
            spread = statistics.stdev(values) if len(values) > 1 else float("nan")
            cells.append(f"{statistics.mean(values):.{digits}f} ± {spread:.{digits}f}")
        yield f"| {method} | {statistics.mean(run['images_seen'] for run in runs) / least:.1f}x | {' | '.join(cells)} |"


_data: Data


def _job(job: tuple[str, int, Row]) -> Row:
    method, seed, options = job
    return train_and_measure(_data, method, seed, **{name: value for name, value in options.items() if name != "dataset"})


def main() -> None:
    """Run what is missing, then print the table."""
    global _data  # noqa: PLW0603  (workers are forked and share it)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--data-dir", default="data")
    default = [*sorted(SEARCH_SPACES), "bsd:2"]
    parser.add_argument("--methods", nargs="*", default=default, help="NAME, or NAME:2 for its second published settings")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--width", type=int, default=8, help="of resnet8")
    parser.add_argument("--noise-rate", type=float, default=0.4)
    parser.add_argument("--workers", type=int, default=2, help="trainings at once, one thread each")
    parser.add_argument("--out", default="evidence.jsonl", help="one line a training; lines that are there are not run again")
    options = parser.parse_args()
    path = Path(options.out)
    names = [method.partition(":") for method in options.methods]
    wrong = [f"{name}{colon}{which}" for name, colon, which in names if name not in SEARCH_SPACES or (colon and not which.isdecimal())]
    if wrong:
        parser.error(f"no method {wrong[0]!r}; known: {', '.join(default)}")
    setting = {"dataset": options.dataset, "epochs": options.epochs, "width": options.width, "noise_rate": options.noise_rate}
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [row for row in map(json.loads, lines) if row["setting"] == setting]
    done = {(row["method"], row["seed"]) for row in rows}
    jobs = [(method, seed, setting) for seed in range(options.seeds) for method in options.methods if (method, seed) not in done]
    if jobs:
        try:
            _data = load(options.dataset, options.data_dir)
        except BSDError as error:
            parser.error(str(error))
        with multiprocessing.get_context("fork").Pool(options.workers) as pool, path.open("a") as file:
            for row in pool.imap_unordered(_job, jobs):
                rows.append({**row, "setting": setting})
                file.write(json.dumps(rows[-1]) + "\n")
                file.flush()
                print(f"{len(rows)}/{len(jobs) + len(done)}  {row['method']} seed {row['seed']}  {row['seconds']:.0f} s", flush=True)
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
