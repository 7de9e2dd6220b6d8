"""The study engine: many trainings, equal budgets, Arrow tables, a Pareto front.

`studies.load("label_noise")` gives the tables of a study's newest run.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Run", "load"]


@dataclass(frozen=True)
class Run:
    """One run's tables; `.to_pandas()` on any of them gives a data frame.

    Attributes:
        path: the run's folder.
        trials, epochs, evaluations, reliability: Arrow tables; each column's meaning is in its field's metadata.
    """

    path: Path
    trials: pa.Table
    epochs: pa.Table
    evaluations: pa.Table
    reliability: pa.Table

    @functools.cached_property
    def statistics(self) -> dict[str, Any]:
        """What the report says of these tables, as report/statistics.json has it; computed when it is first asked for.

        Raises:
            ConfigError: the run's study.yaml is missing or broken.
            DataError: the tables were edited, or a file of predictions is broken.
        """
        from studies.run_folder import RunFolder
        from studies.statistics.document import collect_statistics
        from studies.tables import Tables
        from studies.verify_form import require_form

        run, tables = RunFolder("", self.path), Tables(self.trials, self.epochs, self.evaluations, self.reliability)
        require_form(run, tables)
        return collect_statistics(tables, run.spec(), run.predictions)


def load(name_or_path: str | Path, *, results: str | Path = "results") -> Run:
    """The tables of a study's newest run, or of the run whose folder `name_or_path` is.

    Raises:
        ConfigError: no such run.
        DataError: its tables are missing, broken, or of another schema version.
    """
    from studies.run_names import find_run, results_root
    from studies.tables import read_tables

    run = find_run(results_root(str(results)), str(name_or_path))
    tables = read_tables(run)
    return Run(run.path, tables.trials, tables.epochs, tables.evaluations, tables.reliability)
