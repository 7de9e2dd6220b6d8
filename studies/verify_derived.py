"""What a run's tables must say of each other: columns that follow from other columns, computed again from the tables alone.

So an edited table is found even where neither ledger nor predictions are left: but for numbers that nothing else depends on.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from bsd_core.evaluate import summarise
from studies.robustness import add_corruption_errors
from studies.tables import EPOCHS, EVALUATIONS, RELIABILITY, TRIALS, Tables, mark_fronts
from studies.tally import DifferenceError, Tally, check_rows, row_name

Row = dict[str, Any]
SHIFT_KEY: Final = ("trial_id", "split", "shift", "name", "severity")
KEYS: Final = {  # what names a row, by table
    "trials": ("trial_id",),
    "epochs": ("trial_id", "epoch"),
    "evaluations": SHIFT_KEY,
    "reliability": (*SHIFT_KEY, "bin"),
}
_CHILDREN: Final = ("evaluations", "reliability", "epochs")
_SCHEMAS: Final = {"trials": TRIALS, "epochs": EPOCHS, "evaluations": EVALUATIONS, "reliability": RELIABILITY}
_N_BINS: Final = 15
_SUMMARY: Final = (
    *(f"corrupted_{name}" for name in ("accuracy", "ece", "nll")),
    *("mean_corruption_error", "worst_corruption", "worst_corruption_accuracy", "flip_probability", "top5_distance"),
)
_OF_CONFIRMED: Final = ("arm", "method", "condition", "noise_kind", "sampler", "dataset", "model", "validation_labels", "objectives")


def check_derived(tables: Tables, constants: Mapping[str, str], *, exact: Tally, near: Tally) -> None:
    """Compare all derived columns.

    Args:
        tables: of a run.
        constants: columns of table `trials` that are the same in all its rows.
        exact: counts numbers that are copies, or computed from the same numbers in the same way.
        near: counts those that are computed in another way.

    Raises:
        DifferenceError: at the first that is not what it should be.
    """
    _check_columns(tables)
    trials: list[Row] = tables.trials.to_pylist()
    for row in trials:
        exact.check_fields(row, constants, "table trials", *row_name(row, ("trial_id",)))
    _check_form(tables)
    ids = {row["trial_id"] for row in trials}
    evaluations, reliability, epochs = (_by_trial(name, getattr(tables, name).to_pylist(), ids) for name in _CHILDREN)
    for row in trials:
        own = evaluations[row["trial_id"]]
        _check_epochs(row, epochs[row["trial_id"]], exact)
        _check_bins(row, own, reliability[row["trial_id"]], exact, near)
        _check_trial(row, own, exact)
    _check_confirmations(trials, exact)
    _check_across(trials, evaluations, exact)
    _check_temperatures(trials, evaluations, exact)


def _check_columns(tables: Tables) -> None:
    """Every column there, of its type."""
    for name, schema in _SCHEMAS.items():
        table: pa.Table = getattr(tables, name)
        for field in schema:
            if field.name not in table.column_names:
                raise DifferenceError(f"table {name}, column {field.name}: missing in the file")
            if (kind := table.schema.field(field.name).type) != field.type:
                raise DifferenceError(f"table {name}, column {field.name}: {kind} in the file, {field.type} recomputed")


def _check_form(tables: Tables) -> None:
    """No null where there must be a value, and no row twice."""
    for name in _SCHEMAS:
        rows: list[Row] = getattr(tables, name).to_pylist()
        for row in rows:
            for column in _needed(name, row):
                if row[column] is None:
                    place = ", ".join(row_name(row, KEYS[name]))
                    raise DifferenceError(f"table {name}, {place}, column {column}: null in the file, a value recomputed")
        times = Counter(tuple(row[column] for column in KEYS[name]) for row in rows)
        for row in rows:
            if (n := times[tuple(row[column] for column in KEYS[name])]) > 1:
                raise DifferenceError(f"table {name}, {', '.join(row_name(row, KEYS[name]))}: this row is there {n} times")


def _needed(table: str, row: Row) -> tuple[str, ...]:
    """Columns of a row that cannot be null."""
    match table:
        case "trials":
            chosen_by = row["objectives"].split(", ") if (row["phase"], row["state"]) == ("search", "complete") else ()
            return ("trial_id", "phase", "state", "epochs", *chosen_by)
        case "epochs":
            return (*KEYS[table], "images_seen")
        case "evaluations":
            return (*KEYS[table], "n", *(("flip_probability",) if row["shift"] == "perturbation" else ("accuracy", "ece", "nll")))
        case _:
            return (*KEYS[table], "count", *(("mean_confidence", "accuracy") if row["count"] else ()))


def _by_trial(table: str, rows: Iterable[Row], ids: set[str]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row["trial_id"]].append(row)
    for trial_id in grouped:
        if trial_id not in ids:
            raise DifferenceError(f"table {table}, trial {trial_id}: table trials has no such trial")
    return grouped


def clean_columns(evaluations: Sequence[Row], validation_labels: str) -> Row:
    """Columns of table `trials` that are copies from a trial's clean rows; null where there is no such row."""
    rows = {row["split"]: row for row in evaluations if row["shift"] == "clean"}
    other = "clean" if validation_labels == "noisy" else "noisy"
    columns: Row = {}
    val, by_other, test = (rows.get(split, {}) for split in ("val", f"val_{other}_labels", "test"))
    columns |= {f"val_{name}": val.get(name) for name in ("accuracy", "ece", "nll", "brier")}
    for labels, row in ((validation_labels, val), (other, by_other)):
        columns |= {f"val_{name}_{labels}_labels": row.get(name) for name in ("accuracy", "ece")}
    columns |= {f"test_{name}": test.get(name) for name in ("accuracy", "ece", "nll", "brier", "ece_temperature_scaled")}
    return columns | {"temperature": val.get("temperature")}


def _check_trial(row: Row, evaluations: Sequence[Row], tally: Tally) -> None:
    """A trial's own columns against its evaluations; one that was stopped has no evaluations, but a last epoch."""
    where = ("table trials", *row_name(row, ("trial_id",)))
    expected = clean_columns(evaluations, row["validation_labels"])
    for split in ("val", "test"):
        shifted = [other for other in evaluations if other["split"] == split]
        summary = summarise(shifted)
        expected |= {f"{split}_{name}": summary.get(name) for name in _SUMMARY}
    if row["state"] == "stopped" and not evaluations:
        expected = {name: value for name, value in expected.items() if name not in ("val_accuracy", "val_ece", "val_nll")}
    tally.check_fields(row, expected, *where)
    for other in evaluations:
        tally.check(other["phase"], row["phase"], "table evaluations", *row_name(other, SHIFT_KEY), "column phase")


def _check_epochs(row: Row, epochs: Sequence[Row], tally: Tally) -> None:
    if row["error"] is not None:  # it may have left without saying how far it came
        return
    key = ("trial_id", "epoch")
    wanted = [(row["trial_id"], epoch) for epoch in range(1, row["epochs"] + 1)]
    check_rows("epochs", [tuple(epoch[name] for name in key) for epoch in epochs], wanted, key)
    sums = {"images_seen": sum(epoch["images_seen"] for epoch in epochs)}
    if row["state"] == "stopped" and not row["audited"]:
        sums |= {name: epochs[-1][name] for name in ("val_accuracy", "val_ece", "val_nll")}
    tally.check_fields(row, sums, "table trials", *row_name(row, ("trial_id",)))


def _check_bins(row: Row, evaluations: Sequence[Row], reliability: Sequence[Row], exact: Tally, near: Tally) -> None:
    """Reliability diagrams against the metrics that follow from them."""
    measured = [other for other in evaluations if other["shift"] != "perturbation"]
    key = (*SHIFT_KEY, "bin")
    wanted = [(*(other[name] for name in SHIFT_KEY), index) for other in measured for index in range(_N_BINS)]
    check_rows("reliability", [tuple(other[name] for name in key) for other in reliability], wanted, key)
    for number, other in enumerate(measured):
        bins = [bin_ for bin_ in reliability[number * _N_BINS : (number + 1) * _N_BINS] if bin_["count"]]
        where = ("table evaluations", *row_name(other, SHIFT_KEY))
        exact.check(other["n"], sum(bin_["count"] for bin_ in bins), *where, "column n")
        shares = [bin_["count"] / other["n"] for bin_ in bins]
        gaps = [abs(bin_["accuracy"] - bin_["mean_confidence"]) for bin_ in bins]
        near.check_fields(
            other,
            {
                "accuracy": sum(share * bin_["accuracy"] for share, bin_ in zip(shares, bins, strict=True)),
                "ece": sum(share * gap for share, gap in zip(shares, gaps, strict=True)),
                "maximum_calibration_error": max(gaps),
                "rms_calibration_error": sum(share * gap**2 for share, gap in zip(shares, gaps, strict=True)) ** 0.5,
            },
            *where,
        )
        for bin_ in bins:
            exact.check(bin_["phase"], row["phase"], "table reliability", *row_name(bin_, key), "column phase")


def _check_across(trials: Sequence[Row], evaluations: Mapping[str, Sequence[Row]], tally: Tally) -> None:
    """What follows from several trials: fronts, and errors relative to cross-entropy's."""
    columns = ("on_front", *(f"{split}_corruption_error_vs_cross_entropy" for split in ("val", "test")))
    recomputed = [{**row, **dict.fromkeys(columns)} for row in trials]
    if recomputed:
        mark_fronts(recomputed, *recomputed[0]["objectives"].split(", "))
    add_corruption_errors(recomputed, {row["trial_id"]: evaluations.get(row["trial_id"], []) for row in trials})
    for row, right in zip(trials, recomputed, strict=True):
        tally.check_fields(row, {name: right[name] for name in columns}, "table trials", *row_name(row, ("trial_id",)))


def _check_confirmations(trials: Sequence[Row], tally: Tally) -> None:
    """Confirm trials against the search trials whose settings they were trained with, and against each other."""
    searched = {row["trial_id"]: row for row in trials if row["phase"] == "search"}
    confirmations = [row for row in trials if row["phase"] == "confirm"]
    first: dict[int, Row] = {}
    for row in confirmations:
        where = ("table trials", *row_name(row, ("trial_id",)))
        confirmed = searched.get(row["confirms"])
        if confirmed is None or not confirmed["chosen_as"]:
            raise DifferenceError(f"{', '.join(where)}, column confirms: {row['confirms']!r} is no search trial that was chosen")
        settings = [name for name in row if name.startswith("param_")]
        tally.check_fields(row, {name: confirmed[name] for name in (*_OF_CONFIRMED, *settings)}, *where)
        tally.check(row["trial_id"], f"{row['confirms']}-confirm-{row['replicate']}", *where, "column trial_id")
        tally.check(row["seed"], first.setdefault(row["replicate"], row)["seed"], *where, "column seed")


def _check_temperatures(trials: Sequence[Row], evaluations: Mapping[str, Sequence[Row]], tally: Tally) -> None:
    """All predictions of a trial are scaled by its own temperature, or by that of the trial it confirms if it has none."""
    own = {row["trial_id"]: row["temperature"] for row in trials}
    for row in trials:
        temperature = row["temperature"] if row["temperature"] is not None else own.get(row["confirms"])
        for other in evaluations[row["trial_id"]]:
            if other["shift"] != "perturbation":
                tally.check(other["temperature"], temperature, "table evaluations", *row_name(other, SHIFT_KEY), "column temperature")
