"""Whole runs with real trainings, played in this process: a stand-in for Ray Tune calls the trials, everything else is the real thing."""

from __future__ import annotations

import json
import shutil
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from studies import cluster
from studies.driver import StudyDriver
from studies.nodes import Node
from studies.run import run_study
from studies.run_folder import RunFolder
from studies.run_names import find_run
from studies.trial import reset_process_state, trial_events
from studies.trial_data import SearchData, TestData, TrialSettings, TrialTask
from tests.studies._dummies import make_spec

CPU = torch.device("cpu")
SMALL = {"train_images": 300, "width": 4, "batch_size": 64, "epochs": 2, "trials": 2}


def play_trials(driver: StudyDriver, *, data: SearchData, settings: TrialSettings, test: TestData | None = None, **ignored: Any) -> None:
    """What Ray Tune does: asks for trials, runs them, passes on what they send, and stops those that are to stop."""
    reset_process_state(settings)
    number = 0
    while (config := driver.suggest(f"t{number}")) is not None:
        for event in trial_events(TrialTask(**config["task"]), settings, data, CPU, test):
            kept = event.pop("kept", None)
            if driver.receive(f"t{number}", json.dumps([event]), kept):
                break
        driver.complete(f"t{number}", died=False)
        number += 1


@contextmanager
def played_here() -> Iterator[None]:
    """Runs play their trials in this process, with the threads that trials have."""
    threads = torch.get_num_threads()
    module = types.ModuleType("studies.tune")
    module.run_trials = play_trials  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "studies.tune", module)
        patch.setattr(cluster, "connect", lambda address, **settings: [Node(2, 0)])
        patch.setattr(cluster, "disconnect", lambda: None)
        patch.delenv("RAY_ADDRESS", raising=False)
        yield
    torch.set_num_threads(threads)


def play_run(results: Path, **changes: Any) -> RunFolder:
    """A small study on digits from its beginning to its end."""
    with played_here():
        run_study("mine", make_spec(**{**SMALL, **changes}), results)
    return find_run(results, "mine")


def copy_run(run: RunFolder, folder: Path) -> RunFolder:
    """The same run elsewhere, to be damaged."""
    copy = folder / run.study / run.run_id
    shutil.copytree(run.path, copy)
    return RunFolder(run.study, copy)


def edit_table(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Rewrite a Parquet file, with the metadata it had."""
    table = pq.read_table(path)
    pq.write_table(change(table).replace_schema_metadata(table.schema.metadata), path)


def with_cell(row: int, column: str, value: Any) -> Callable[[pa.Table], pa.Table]:
    """A change of one cell."""

    def change(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        values[row] = value
        return table.set_column(
            table.column_names.index(column), table.schema.field(column), pa.array(values, table.schema.field(column).type)
        )

    return change
