"""One cell of every column of every table edited, added or removed, without the ledger: found, but for what nothing can check."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from bsd_core.errors import DataError
from studies.results import run_constants
from studies.run_folder import RunFolder
from studies.spec import StudySpec
from studies.statistics.document import collect_statistics
from studies.tables import EPOCHS, EVALUATIONS, RELIABILITY, TRIALS, Tables, read_tables
from studies.tally import TOLERANCE, DifferenceError, Tally, check_leaves
from studies.verify_derived import check_derived
from studies.verify_form import check_form, require_form
from studies.verify_predictions import check_predictions
from tests.studies._played_runs import play_run, with_cell

SETTINGS = ("param_learning_rate", "param_weight_decay", "param_discount", "param_temperature")
COLUMNS = {
    "trials": (*TRIALS.names, *SETTINGS),
    "epochs": tuple(EPOCHS.names),
    "evaluations": tuple(EVALUATIONS.names),
    "reliability": tuple(RELIABILITY.names),
}
PHASES = ("search", "chosen", "confirm")
# (table, column, phase) of which another value is not found in the last row; `verify_derived` lists them in words.
UNCHECKED = {
    *(("trials", name, phase) for name in ("evaluate_seconds", "images_per_second", "node", "device") for phase in PHASES),
    *(("trials", name, "search") for name in SETTINGS),
    *(("epochs", name, None) for name in ("train_loss", "train_accuracy", "learning_rate", "label_recovery", "memorised")),
    *(("epochs", f"val_{name}", None) for name in ("accuracy", "ece", "nll")),
    *(
        ("evaluations", name, phase)
        for name in ("top5_accuracy", "adaptive_ece", "classwise_ece", "debiased_calibration_error", "brier", "aurc", "excess_aurc")
        for phase in ("search", "confirm")
    ),
    *(("evaluations", "ece_temperature_scaled", phase) for phase in ("search", "confirm")),
}


@dataclass(frozen=True)
class Checked:
    """A run, and what verify compares its tables with."""

    run: RunFolder
    spec: StudySpec
    tables: Tables
    statistics: dict[str, Any]

    def finds(self, tables: Tables) -> bool:
        """Whether an edit is found without the ledger; in the order and with the functions of verify."""
        try:
            check_derived(tables, self.spec, run_constants(self.run, self.spec), exact=Tally(), near=Tally(TOLERANCE))
            check_predictions(self.run.predictions, tables, Tally(TOLERANCE), confirm=self.spec.confirm)
            check_leaves("statistics", self.statistics, collect_statistics(tables, self.spec, self.run.predictions), Tally(TOLERANCE))
        except DifferenceError:
            return True
        return False

    def report(self, tables: Tables) -> None:
        """As the report does: tables that are refused are no mishap, but others must come through."""
        with contextlib.suppress(DifferenceError):
            check_form(tables, self.spec)
            collect_statistics(tables, self.spec, self.run.predictions)


def checked(run: RunFolder) -> Checked:
    return Checked(run, run.spec(), read_tables(run), json.loads(run.statistics.read_bytes()))


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """Two arms of two trials, one of each confirmed twice, on corrupted and perturbed images too."""
    return checked(
        play_run(
            tmp_path_factory.mktemp("confirmed"),
            conditions=["symmetric:0.4"],
            evaluate={"corruptions": ["contrast"], "severities": [3], "perturbations": "translate", "images": 20},
            confirm={"at_most": 1, "operating_points": False, "seeds": 2, "corruptions": "contrast", "severities": 4, "images": 20},
        )
    )


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """Complete, failed, stopped and audited trials."""
    stopping = {"kind": "pareto_halving", "first_rung": 1, "audit": 0.4}
    folder = tmp_path_factory.mktemp("stopped")
    return checked(play_run(folder, trials=5, epochs=6, fixed={"bsd": {"learning_rate": 1e8}}, stopping=stopping, seed=1))


def other_value(value: Any, kind: pa.DataType) -> Any:
    """A value like this one, or one where there was none."""
    match value:
        case None:
            return 0.5 if pa.types.is_floating(kind) else 1 if pa.types.is_integer(kind) else True if pa.types.is_boolean(kind) else "x"
        case bool():
            return not value
        case str():
            return f"{value}x"
        case _:
            return value + 1 if isinstance(value, int) else value + 1e-4


def edits(table: pa.Table, column: str, kind_of: Callable[[dict[str, Any]], Any]) -> list[tuple[Any, str, pa.Table]]:
    """(kind of row, `changed` or `removed` or `added`, the table) for the last row of each kind, with a value and without one."""
    rows = table.to_pylist()
    places = {(kind_of(row), row[column] is None): index for index, row in enumerate(rows)}
    found = []
    for (kind, missing), index in places.items():
        value = other_value(rows[index][column], table.schema.field(column).type)
        found.append((kind, "added" if missing else "changed", with_cell(index, column, value)(table)))
        if not missing:
            found.append((kind, "removed", with_cell(index, column, None)(table)))
    return found


def phase_of(row: dict[str, Any]) -> str | None:
    """One of `PHASES`; None in table epochs."""
    return "chosen" if row.get("chosen_as") else row.get("phase")


@pytest.mark.parametrize(("name", "column"), [(name, column) for name, columns in COLUMNS.items() for column in columns])
def test_an_edit_of_any_column_is_found(name: str, column: str, confirmed: Checked) -> None:
    table: pa.Table = getattr(confirmed.tables, name)
    made = edits(table, column, phase_of)
    assert made
    for phase, how, edited in made:
        tables = replace(confirmed.tables, **{name: edited})
        assert confirmed.finds(tables) != (how == "changed" and (name, column, phase) in UNCHECKED), (phase, how)
        if name == "trials" and (how == "removed" or not pa.types.is_floating(table[column].type)):
            confirmed.report(tables)


@pytest.mark.parametrize("column", ["state", "stopped_at", "audited", "error", "epochs", "train_seconds", "images_seen", "val_nll"])
def test_an_edit_of_how_a_trial_ended_is_found(column: str, stopped: Checked) -> None:
    for kind, how, edited in edits(stopped.tables.trials, column, lambda row: (row["state"], row["audited"])):
        tables = replace(stopped.tables, trials=edited)
        uncounted = kind[0] == "failed" and column in ("epochs", "train_seconds", "images_seen")  # it may have left without a word
        in_audit = column == "error" and (kind == ("stopped", False) or how == "changed")  # a stopped trial may have failed in its audit
        assert stopped.finds(tables) or uncounted or in_audit, (kind, how)
        stopped.report(tables)


@pytest.mark.parametrize("name", ["trials", "epochs", "evaluations", "reliability"])
def test_a_row_that_is_moved_is_found(name: str, confirmed: Checked) -> None:
    table: pa.Table = getattr(confirmed.tables, name)
    swapped = pa.concat_tables([table.slice(1, 1), table.slice(0, 1), table.slice(2)])
    assert confirmed.finds(replace(confirmed.tables, **{name: swapped}))


@pytest.mark.parametrize(
    ("column", "value"),
    [("chosen_as", "best"), ("chosen_as", ""), ("audited", True), ("stopped_at", 1), ("state", "done"), ("arm", "bsd/none")],
)
def test_a_report_of_tables_that_cannot_be_is_refused(column: str, value: Any, confirmed: Checked, tmp_path: Path) -> None:
    index = next(index for index, row in enumerate(confirmed.tables.trials.to_pylist()) if row["chosen_as"] is not None)
    tables = replace(confirmed.tables, trials=with_cell(index, column, value)(confirmed.tables.trials))
    with pytest.raises(DataError, match=rf"^The tables of .* were edited: table trials, trial .*, column {column}: "):
        require_form(confirmed.run, tables)


@pytest.mark.parametrize(
    ("name", "column", "value", "limits"),
    [
        ("epochs", "epoch", 10**8, "between 1 and 2"),
        ("epochs", "epoch", -5000, "between 1 and 2"),
        ("evaluations", "severity", 6, "between 0 and 5"),
        ("evaluations", "n", -1, "0 or more"),
        ("reliability", "bin", 99, "between 0 and 14"),
        ("reliability", "bin", -1, "between 0 and 14"),
        ("reliability", "count", -1, "0 or more"),
    ],
)
def test_a_report_of_numbers_beyond_their_range_is_refused(name: str, column: str, value: int, limits: str, confirmed: Checked) -> None:
    tables = replace(confirmed.tables, **{name: with_cell(3, column, value)(getattr(confirmed.tables, name))})
    with pytest.raises(DataError, match=rf"table {name}, trial .*, column {column}: {value} in the file, which should be {limits}\."):
        require_form(confirmed.run, tables)


@pytest.mark.parametrize("name", ["trials", "epochs", "evaluations", "reliability"])
def test_a_report_of_rows_twice_is_refused(name: str, confirmed: Checked) -> None:
    table: pa.Table = getattr(confirmed.tables, name)
    with pytest.raises(DataError, match=rf"table {name}, trial .*: this row is there 2 times"):
        require_form(confirmed.run, replace(confirmed.tables, **{name: pa.concat_tables([table, table.slice(1, 1)])}))


@pytest.mark.parametrize("name", ["epochs", "evaluations", "reliability"])
def test_a_report_of_rows_of_no_trial_is_refused(name: str, confirmed: Checked) -> None:
    with pytest.raises(DataError, match=f"table {name}, trial nobody: table trials has no such trial"):
        require_form(
            confirmed.run, replace(confirmed.tables, **{name: with_cell(2, "trial_id", "nobody")(getattr(confirmed.tables, name))})
        )
