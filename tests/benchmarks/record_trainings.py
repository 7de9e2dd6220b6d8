"""Record many full trainings once, so that searches over them can be replayed at no cost.

    python -m tests.benchmarks.record_trainings --out tests/benchmarks/recorded/digits.parquet

Each arm trains its published settings, then random ones of its whole search space, every one to the end on digits with 40 % wrong labels;
seeds and settings are functions of (arm, number), as in a study. Validation labels are the true ones. One row an epoch; seconds are of a
machine that may have been shared, so count epochs, not seconds.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import optuna
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from bsd_core.seeds import derive_seed
from studies.prepare import PreparedStudy, prepare
from studies.search import ArmSpace, split_params
from studies.spec import StudySpec
from studies.study_file import check_spec
from studies.trial import reset_process_state, trial_events
from studies.trial_data import TrialTask

STUDY: Final[dict[str, Any]] = {
    "question": "What would a search have seen?",
    "methods": ["bsd", "cs_kd", "cross_entropy"],
    "conditions": ["symmetric:0.4"],
    "trials": 1,
    "epochs": 27,
    "width": 8,
    "batch_size": 64,
    "validation_labels": "clean",
    "evaluate": {"corruptions": "none"},
}
MEASURED: Final = ("val_accuracy", "val_nll", "val_ece")
Row = dict[str, Any]


def settings_of(spec: StudySpec, method: str, number: int) -> Row:
    """The settings of training `number` of a method: published ones first, then random ones."""
    space = ArmSpace.of(spec, method)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=derive_seed(spec.seed, "recorded", method, number) % 2**32))
    if number < len(space.published):
        study.enqueue_trial(dict(space.published[number]))
    return {**space.constant, **study.ask(space.searched).params}


@functools.cache
def _study() -> tuple[StudySpec, PreparedStudy]:
    """Prepared once in each process."""
    spec = check_spec(STUDY, where="recorder")
    return spec, prepare(spec)


def _work(job: tuple[str, int]) -> list[Row]:
    """One full training, its rows: fewer than its epochs if it diverged."""
    spec, prepared = _study()
    method, number = job
    reset_process_state(prepared.settings)
    torch.set_num_threads(1)
    settings = settings_of(spec, method, number)
    shared, own = split_params(settings)
    condition = spec.conditions[0].name
    seed = derive_seed(spec.seed, "trial", number)
    task = TrialTask(trial_id=f"{method}-{number}", method=method, condition=condition, settings=own, seed=seed, **shared)
    events = list(trial_events(task, prepared.settings, prepared.data, torch.device("cpu")))
    first = {"arm": f"{method}/{condition}", "number": number, **{f"param_{name}": value for name, value in settings.items()}}
    kept = ("epoch", "epochs", *MEASURED, "seconds")
    return [first | {name: event[name] for name in kept} for event in events if event["event"] == "epoch"]


def record(n: int, methods: list[str], processes: int) -> Iterator[list[Row]]:
    """`n` trainings of each method, in any order."""
    jobs = [(method, number) for number in range(n) for method in methods]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(_work, jobs)


def to_table(rows: list[Row]) -> pa.Table:
    """Sorted by arm, number and epoch; settings and measurements as float32, so that the file stays small."""
    rows = sorted(rows, key=lambda row: (row["arm"], row["number"], row["epoch"]))
    params = sorted({name for row in rows for name in row if name.startswith("param_")})
    counts = dict.fromkeys(("number", "epoch", "epochs"), pa.int16())
    types = {"arm": pa.dictionary(pa.int8(), pa.string()), **counts}
    names = ["arm", "number", *params, "epoch", "epochs", *MEASURED, "seconds"]
    table = pa.table({name: pa.array([row.get(name) for row in rows], types.get(name, pa.float32())) for name in names})
    return table.replace_schema_metadata({"study": json.dumps(STUDY), "torch": torch.__version__})


def main() -> None:
    """Record what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="a new Parquet file")
    parser.add_argument("--trainings", type=int, default=150, help="of each method (default: 150)")
    parser.add_argument("--methods", nargs="+", default=STUDY["methods"], choices=STUDY["methods"], help="default: all")
    parser.add_argument("--processes", type=int, default=2, help="trainings at once, one thread each (default: 2)")
    args = parser.parse_args()
    os.nice(10)
    rows: list[Row] = []
    for done, training in enumerate(record(args.trainings, args.methods, args.processes), start=1):
        rows += training
        if done % 20 == 0:
            print(f"{done} of {args.trainings * len(args.methods)} trainings", flush=True)
    pq.write_table(to_table(rows), args.out, compression="zstd", compression_level=19)


if __name__ == "__main__":
    main()
