"""Whether tables are of the form that all readers rely on: columns and their types, values that must be there, and known words.

Nothing is computed here, so the report checks this too before it reads tables that somebody may have edited. No Torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bsd_core.errors import DataError
from studies.commands import command
from studies.run_folder import RunFolder
from studies.spec import StudySpec
from studies.statistics.confirmed import ROLES
from studies.statistics.reliability import N_BINS
from studies.tables import EPOCHS, EVALUATIONS, RELIABILITY, TRIALS, Tables
from studies.tally import DifferenceError, Tally, row_name

Row = dict[str, Any]
SHIFT_KEY: Final = ("trial_id", "split", "shift", "name", "severity")
KEYS: Final = {  # what names a row, by table
    "trials": ("trial_id",),
    "epochs": ("trial_id", "epoch"),
    "evaluations": SHIFT_KEY,
    "reliability": (*SHIFT_KEY, "bin"),
}
_SCHEMAS: Final = {"trials": TRIALS, "epochs": EPOCHS, "evaluations": EVALUATIONS, "reliability": RELIABILITY}
_ALWAYS: Final = {"epochs": "images_seen", "evaluations": "n", "reliability": "count"}  # there in every row, besides what names it
_NULL: Final = "null in the file, a value recomputed"
_FAR: Final = 2**53  # counts beyond are not told apart by floats
_STATES: Final = {"search": ("complete", "failed", "stopped"), "confirm": ("complete", "failed")}


def check_form(tables: Tables, spec: StudySpec) -> None:
    """Check all four tables.

    Raises:
        DifferenceError: at the first thing that is not as it should be.
    """
    _check_columns(tables)
    trials: list[Row] = tables.trials.to_pylist()
    _check_trial_values(trials, spec)
    _check_trials(trials, spec)
    ids = tables.trials["trial_id"].combine_chunks()
    for name in _ALWAYS:
        table: pa.Table = getattr(tables, name)
        _check_ranges(name, table, spec)
        _check_there(name, table)
        _check_once(name, table)
        stray = table["trial_id"].filter(pc.invert(pc.is_in(table["trial_id"], value_set=ids)))
        if len(stray):
            raise DifferenceError(f"table {name}, trial {stray[0].as_py()}: table trials has no such trial")


def require_own_trials(run: RunFolder, trials: pa.Table) -> None:
    """For a reader of tables that were just built from a ledger, which fit its form, but perhaps not its study.

    Raises:
        DataError: it names the first thing that is not as it should be.
    """
    rows, spec = trials.to_pylist(), run.spec()
    try:
        _check_trial_values(rows, spec)
        _check_trials(rows, spec)
    except DifferenceError as difference:
        raise DataError(f"The ledger of {run.place} is not one of its study.yaml: {difference}. Was either of them changed?") from None


def require_form(run: RunFolder, tables: Tables) -> None:
    """For a reader that would stumble over tables of another form.

    Raises:
        DataError: they are; it names the first thing that is not as it should be.
    """
    try:
        check_form(tables, run.spec())
    except DifferenceError as difference:
        raise DataError(f"The tables of {run.place} were edited: {difference}. Build them again: {command('front', run.place)}") from None


def _check_columns(tables: Tables) -> None:
    """Every column there, of its type, and no others but hyperparameters; every number is one."""
    for name, schema in _SCHEMAS.items():
        table: pa.Table = getattr(tables, name)
        kinds = dict(zip(table.schema.names, table.schema.types, strict=True))
        for field in schema:
            if field.name not in kinds:
                raise DifferenceError(f"table {name}, column {field.name}: missing in the file")
            if (kind := kinds[field.name]) != field.type:
                raise DifferenceError(f"table {name}, column {field.name}: {kind} in the file, {field.type} recomputed")
        for column, kind in kinds.items():
            if column not in schema.names and not (name == "trials" and column.startswith("param_")):
                raise DifferenceError(f"table {name}, column {column}: in the file, but not when recomputed")
            if column not in schema.names and kind not in (pa.string(), pa.float64()):
                raise DifferenceError(f"table {name}, column {column}: {kind} in the file, which no setting is")
            if kind == pa.float64() and pc.all(pc.is_finite(table[column])).as_py() is False:
                raise DifferenceError(f"table {name}, column {column}: NaN or infinity in the file, which is no number")


def _check_trial_values(rows: Sequence[Row], spec: StudySpec) -> None:
    """Of table trials: no null where there must be a value, and no row twice."""
    for row in rows:
        for column in _needed(row, spec):
            if row[column] is None:
                raise _wrong("trials", row, column, _NULL)
    times = Counter(row["trial_id"] for row in rows)
    for row in rows:
        if (n := times[row["trial_id"]]) > 1:
            raise DifferenceError(f"table trials, {', '.join(row_name(row, KEYS['trials']))}: this row is there {n} times")


def _needed(row: Row, spec: StudySpec) -> tuple[str, ...]:
    """Columns of a row of table trials that cannot be null."""
    always = ("trial_id", "phase", "arm", "trial_number", "seed", "state", "epochs", "audited", "on_front")
    measured: Iterable[str] = ()
    if row["state"] == "complete":
        measured = ("replicate", "test_accuracy", "test_ece") if row["phase"] == "confirm" else spec.targets
    return (*always, *measured, *(("confirms", "replicate") if row["phase"] == "confirm" else ()))


def _check_there(name: str, table: pa.Table) -> None:
    """No null where there must be a value, in a table with many rows."""
    for column in (*KEYS[name], _ALWAYS[name]):
        _refuse(name, table, column, pc.is_null(table[column]))
    if name == "evaluations":
        steadiness = pc.equal(table["shift"], "perturbation")
        measured = {"flip_probability": steadiness} | dict.fromkeys(("accuracy", "ece", "nll"), pc.invert(steadiness))
    elif name == "reliability":
        measured = dict.fromkeys(("mean_confidence", "accuracy"), pc.not_equal(table["count"], 0))
    else:
        measured = {}
    for column, here in measured.items():
        _refuse(name, table, column, pc.and_(here, pc.is_null(table[column])))


def _check_ranges(name: str, table: pa.Table, spec: StudySpec) -> None:
    """What readers use as a place, or size things by, is one."""
    ranges = {
        "epochs": {"epoch": (1, spec.epochs)},
        "evaluations": {"severity": (0, 5), "n": (0, _FAR)},
        "reliability": {"severity": (0, 5), "bin": (0, N_BINS - 1), "count": (0, _FAR)},
    }
    for column, (low, high) in ranges[name].items():
        beyond = pc.or_(pc.less(table[column], low), pc.greater(table[column], high))
        _refuse(name, table, column, beyond, f"between {low} and {high}" if high < _FAR else "0 or more")


def _check_once(name: str, table: pa.Table) -> None:
    """No row twice."""
    codes = pa.array(np.zeros(table.num_rows, dtype=np.int64)).dictionary_encode()
    for column in KEYS[name]:  # equal codes stand for rows that are equal so far; grouping by texts takes many times as long
        own = table[column].combine_chunks().dictionary_encode()
        pairs = codes.indices.to_numpy().astype(np.int64) * len(own.dictionary) + own.indices.to_numpy()
        codes = pa.array(pairs).dictionary_encode()
    times = np.bincount(codes.indices.to_numpy(), minlength=1)
    if (most := int(times.max())) > 1:
        row = table.slice(int(np.argmax(codes.indices.to_numpy() == times.argmax())), 1).to_pylist()[0]
        raise DifferenceError(f"table {name}, {', '.join(row_name(row, KEYS[name]))}: this row is there {most} times")


def _refuse(name: str, table: pa.Table, column: str, wrong: pa.ChunkedArray, should_be: str = "") -> None:
    """Name the first row that is wrong, if there is one."""
    places = pc.indices_nonzero(wrong)
    if len(places):
        row = table.slice(places[0].as_py(), 1).to_pylist()[0]
        value = row[column]
        raise _wrong(name, row, column, _NULL if value is None else f"{value} in the file, which should be {should_be}")


def _check_trial(row: Row, spec: StudySpec) -> None:
    """Known words, and columns that say the same thing twice."""
    _one_of(row, "phase", tuple(_STATES))
    _one_of(row, "state", _STATES[row["phase"]])
    arms = {arm.name: arm for arm in (spec.arms if row["phase"] == "search" else spec.compared_arms)}
    _one_of(row, "arm", tuple(arms))
    arm = arms[row["arm"]]
    words = {"method": arm.method, "condition": arm.condition.name, "sampler": arm.sampler, "objectives": ", ".join(spec.targets)}
    Tally().check_fields(row, words, "table trials", *row_name(row, KEYS["trials"]))
    if row["chosen_as"] is not None:
        roles = row["chosen_as"].split(", ")
        if not set(roles) <= set(ROLES):
            raise _wrong("trials", row, "chosen_as", f"{row['chosen_as']!r} in the file, but roles are {', '.join(ROLES)}")
        if (row["phase"], row["state"]) != ("search", "complete") or row["arm"] not in {arm.name for arm in spec.compared_arms}:
            raise _wrong("trials", row, "chosen_as", f"{row['chosen_as']!r} in the file, null recomputed: no such trial is confirmed")
    stopped = row["state"] == "stopped"
    if stopped != (row["stopped_at"] is not None):
        raise _wrong(
            "trials", row, "stopped_at", f"{'null' if stopped else row['stopped_at']} in the file, but its state is {row['state']}"
        )
    if row["audited"] and not stopped:
        raise _wrong("trials", row, "audited", f"True in the file, but its state is {row['state']}")
    if not stopped and (row["state"] == "failed") != (row["error"] is not None):
        raise _wrong("trials", row, "error", f"{'null' if row['error'] is None else 'a text'} in the file, but its state is {row['state']}")


def _check_trials(rows: Sequence[Row], spec: StudySpec) -> None:
    chosen = {row["trial_id"] for row in rows if row["chosen_as"] is not None}
    for row in rows:
        _check_trial(row, spec)
        if row["phase"] == "confirm" and row["confirms"] not in chosen:
            raise _wrong("trials", row, "confirms", f"{row['confirms']!r} is no search trial that was chosen")


def _one_of(row: Row, column: str, known: Sequence[str]) -> None:
    if row[column] not in known:
        raise _wrong("trials", row, column, f"{row[column]!r} in the file, which is none of {', '.join(known)}")


def _wrong(table: str, row: Row, column: str, problem: str) -> DifferenceError:
    return DifferenceError(f"table {table}, {', '.join(row_name(row, KEYS[table]))}, column {column}: {problem}")
