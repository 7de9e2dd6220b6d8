"""The report of a finished run of many trainings: the whole command, in a process of its own as a user has it."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import studies
from tests.benchmarks.bench_tables import run_python
from tests.studies._played_runs import play_run

METHODS = ["cross_entropy", "label_smoothing", "focal", "gce", "bsd"]
CONDITIONS = ["none", "symmetric:0.2", "symmetric:0.4", "instance:0.2"]


@dataclass(frozen=True)
class ReportCost:
    """What a report took.

    Attributes:
        n_searched, n_confirming: trainings.
        first_seconds: `report` with everything to be made, maps of features too.
        again_seconds: `report` again: maps are kept.
        page_bytes: of index.html.
    """

    n_searched: int
    n_confirming: int
    first_seconds: float
    again_seconds: float
    page_bytes: int


def run(*, trials: int = 500) -> ReportCost:
    """Measure once, on a study of about so many trainings in all, a sixth of them to confirm; networks are tiny, tables are not."""
    arms = len(METHODS) * len(CONDITIONS)
    seeds, at_most = 5, 1
    with tempfile.TemporaryDirectory() as folder:
        played = play_run(
            Path(folder),
            methods=METHODS,
            conditions=CONDITIONS,
            trials=max(2, (trials - arms * seeds * at_most) // arms),
            epochs=15,
            train_images=200,
            evaluate={"corruptions": "main", "severities": [1, 5], "perturbations": "none", "images": 10},
            confirm={"at_most": at_most, "seeds": seeds, "corruptions": "all", "images": 20},
        )
        (played.path / "report" / "feature_maps.parquet").unlink()
        phases = studies.load(played.path).trials["phase"].to_pylist()
        first, again = (_report_seconds(played.path) for _ in range(2))
        return ReportCost(phases.count("search"), phases.count("confirm"), first, again, played.page.stat().st_size)


def _report_seconds(path: Path) -> float:
    started = time.perf_counter()
    run_python(path, "-m", "studies", "report", str(path))
    return time.perf_counter() - started
