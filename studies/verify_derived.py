"""What a run's tables must say by the study and of each other: what follows from other columns is computed again from the tables alone.

So an edited table is found even where neither ledger nor predictions are left: but for numbers that nothing else depends on. These are

    trials        settings that were searched, of trials that are not confirmed; evaluate_seconds, images_per_second, node, device, the
                  text of an error, and whether a stopped trial has one; epochs, times and images of trials with one
    epochs        train_loss, train_accuracy, learning_rate, label_recovery and memorised; val_accuracy, val_ece and val_nll but for the
                  last epoch of a search trial; seconds, where train_seconds is edited to fit
    evaluations   of the search, and of shifted images of which no predictions are kept: top5_accuracy, adaptive_ece, classwise_ece,
                  debiased_calibration_error, brier, aurc, excess_aurc and ece_temperature_scaled (but brier and, on test images,
                  ece_temperature_scaled of clean images, which table trials repeats)
    all           two or more edits that fit each other

A value that is removed, or added where there was none, is found in these columns too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from bsd_core.evaluate import summarise
from studies.ledger_rows import cells
from studies.robustness import ERROR_COLUMNS, add_corruption_errors, error_grids
from studies.spec import StudySpec
from studies.tables import EPOCHS, EVALUATIONS, Tables, mark_fronts
from studies.tally import Tally, check_rows, row_name
from studies.verify_form import KEYS, SHIFT_KEY, check_form
from studies.verify_trials import check_nulls, check_trials, most

Row = dict[str, Any]
_N_BINS: Final = 15
_SUMMARY: Final = (
    *(f"corrupted_{name}" for name in ("accuracy", "ece", "nll")),
    *("mean_corruption_error", "worst_corruption", "worst_corruption_accuracy", "flip_probability", "top5_distance"),
)
_OF_EPOCH: Final = ("val_accuracy", "val_ece", "val_nll")
_STEADINESS: Final = ("flip_probability", "top5_distance")
_METRICS: Final = tuple(name for name in EVALUATIONS.names if name not in (*SHIFT_KEY, "phase", "n", *_STEADINESS))


def check_derived(tables: Tables, spec: StudySpec, constants: Mapping[str, str], *, exact: Tally, near: Tally) -> None:
    """Compare all derived columns.

    Args:
        tables: of a run.
        spec: its study.
        constants: columns of table `trials` that are the same in all its rows.
        exact: counts numbers that are copies, or computed from the same numbers in the same way.
        near: counts those that are computed in another way.

    Raises:
        DifferenceError: at the first that is not what it should be.
    """
    check_form(tables, spec)
    trials: list[Row] = tables.trials.to_pylist()
    check_trials(trials, spec, constants, exact)
    evaluations, reliability, epochs = (_by_trial(getattr(tables, name).to_pylist()) for name in ("evaluations", "reliability", "epochs"))
    for name, rows in (("evaluations", evaluations), ("reliability", reliability)):
        order = [(row["trial_id"],) for row in trials if row["trial_id"] in rows]
        check_rows(name, [(trial_id,) for trial_id in rows], order, KEYS["trials"])
    rounded = spec.confirm is not None and spec.confirm.predictions != "none"
    for row in trials:
        own = evaluations[row["trial_id"]]
        _check_epochs(row, epochs[row["trial_id"]], exact, near)
        _check_bins(row, own, reliability[row["trial_id"]], exact, near)
        _check_trial(row, own, exact)
        if not (rounded and row["phase"] == "confirm"):  # else the last epoch was measured before logits were rounded
            _check_last_epoch(row, epochs[row["trial_id"]], exact)
    _check_shifts(trials, evaluations, exact)
    _check_missing(trials, evaluations, epochs, exact)
    _check_across(trials, evaluations, exact)
    _check_temperatures(trials, evaluations, exact)


def _by_trial(rows: Iterable[Row]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row["trial_id"]].append(row)
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
        expected = {name: value for name, value in expected.items() if name not in _OF_EPOCH}
    tally.check_fields(row, expected, *where)
    for other in evaluations:
        tally.check(other["phase"], row["phase"], "table evaluations", *row_name(other, SHIFT_KEY), "column phase")


def _check_epochs(row: Row, epochs: Sequence[Row], exact: Tally, near: Tally) -> None:
    if row["error"] is not None:  # it may have left without saying how far it came
        return
    key = KEYS["epochs"]
    wanted = [(row["trial_id"], epoch) for epoch in range(1, row["epochs"] + 1)]
    check_rows("epochs", [tuple(epoch[name] for name in key) for epoch in epochs], wanted, key)
    where = ("table trials", *row_name(row, ("trial_id",)))
    exact.check(row["images_seen"], sum(epoch["images_seen"] for epoch in epochs), *where, "column images_seen")
    if None not in (seconds := [epoch["seconds"] for epoch in epochs]):
        near.check(row["train_seconds"], sum(seconds), *where, "column train_seconds")


def _check_last_epoch(row: Row, epochs: Sequence[Row], tally: Tally) -> None:
    """A trial's own values on clean validation images are those of its last epoch."""
    if row["error"] is None and epochs:
        tally.check_fields(epochs[-1], {name: row[name] for name in _OF_EPOCH}, "table epochs", *row_name(epochs[-1], KEYS["epochs"]))


def _check_bins(row: Row, evaluations: Sequence[Row], reliability: Sequence[Row], exact: Tally, near: Tally) -> None:
    """Reliability diagrams against the metrics that follow from them."""
    measured = [other for other in evaluations if other["shift"] != "perturbation"]
    key = (*SHIFT_KEY, "bin")
    wanted = [(*(other[name] for name in SHIFT_KEY), index) for other in measured for index in range(_N_BINS)]
    check_rows("reliability", [tuple(other[name] for name in key) for other in reliability], wanted, key)
    for number, other in enumerate(measured):
        all_bins = reliability[number * _N_BINS : (number + 1) * _N_BINS]
        bins = [bin_ for bin_ in all_bins if bin_["count"]]
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
        for bin_ in all_bins:
            empty = {} if bin_["count"] else {"mean_confidence": None, "accuracy": None}
            exact.check_fields(bin_, {"phase": row["phase"], **empty}, "table reliability", *row_name(bin_, key))


def _check_across(trials: Sequence[Row], evaluations: Mapping[str, Sequence[Row]], tally: Tally) -> None:
    """What follows from several trials: fronts, and errors relative to cross-entropy's."""
    columns = ("on_front", *(f"{split}_corruption_error_vs_cross_entropy" for split in ("val", "test")))
    recomputed = [{**row, **dict.fromkeys(columns)} for row in trials]
    if recomputed:
        mark_fronts(recomputed, *recomputed[0]["objectives"].split(", "))
    errors = {row["trial_id"]: error_grids(cells(evaluations.get(row["trial_id"], []), *ERROR_COLUMNS)) for row in trials}
    add_corruption_errors(recomputed, errors)
    for row, right in zip(trials, recomputed, strict=True):
        tally.check_fields(row, {name: right[name] for name in columns}, "table trials", *row_name(row, ("trial_id",)))


def _check_temperatures(trials: Sequence[Row], evaluations: Mapping[str, Sequence[Row]], tally: Tally) -> None:
    """All predictions of a trial are scaled by its own temperature, or by that of the trial it confirms if it has none."""
    own = {row["trial_id"]: row["temperature"] for row in trials}
    for row in trials:
        temperature = row["temperature"] if row["temperature"] is not None else own.get(row["confirms"])
        for other in evaluations[row["trial_id"]]:
            if other["shift"] != "perturbation":
                tally.check(other["temperature"], temperature, "table evaluations", *row_name(other, SHIFT_KEY), "column temperature")


def _check_shifts(trials: Sequence[Row], evaluations: Mapping[str, Sequence[Row]], tally: Tally) -> None:
    """All trials of a phase that were measured were shown the same images: those that most of them were shown."""
    for phase in ("search", "confirm"):
        measured = [evaluations[row["trial_id"]] for row in trials if row["phase"] == phase and evaluations[row["trial_id"]]]
        if not measured:
            continue
        shown = most(tuple((*(row[name] for name in SHIFT_KEY[1:]), row["n"]) for row in rows) for rows in measured)
        for rows in measured:
            trial_id = rows[0]["trial_id"]
            keys = [tuple(row[name] for name in SHIFT_KEY) for row in rows]
            check_rows("evaluations", keys, [(trial_id, *place) for *place, _ in shown], SHIFT_KEY)
            for row, (*_, n) in zip(rows, shown, strict=True):
                tally.check(row["n"], n, "table evaluations", *row_name(row, SHIFT_KEY), "column n")


def _check_missing(
    trials: Sequence[Row], evaluations: Mapping[str, Sequence[Row]], epochs: Mapping[str, Sequence[Row]], tally: Tally
) -> None:
    """Values that nothing else tells: at least they are there."""
    own = {row["trial_id"]: row for row in trials}
    measured = [row for rows in evaluations.values() for row in rows]
    for row in measured:
        absent = _METRICS if row["shift"] == "perturbation" else _STEADINESS
        tally.check_fields(row, dict.fromkeys(absent), "table evaluations", *row_name(row, SHIFT_KEY))
    check_nulls("evaluations", [row for row in measured if row["shift"] != "perturbation"], _METRICS, lambda row: 0, tally)
    check_nulls("evaluations", [row for row in measured if row["shift"] == "perturbation"], _STEADINESS, lambda row: 0, tally)
    trained = [row for rows in epochs.values() for row in rows if own[row["trial_id"]]["error"] is None]
    columns = [name for name in EPOCHS.names if name not in KEYS["epochs"]]
    check_nulls("epochs", trained, columns, lambda row: _with_noise(own[row["trial_id"]]), tally)


def _with_noise(trial: Row) -> tuple[str, bool]:
    return trial["phase"], bool(trial["n_wrong_labels"])
