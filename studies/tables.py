"""The four Arrow tables of a run: schemas, building them from the ledger, writing and reading Parquet.

Schemas are constants: each column with its type, unit and one sentence, kept in the file's metadata with a schema version.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bsd_core.errors import DataError, one_line
from studies.ledger import Event, own_temperature, read_ledger
from studies.pareto import non_dominated
from studies.robustness import add_corruption_errors
from studies.run_folder import RunFolder, write_atomically

SCHEMA_VERSION: Final = "3"


def _schema(**columns: tuple[pa.DataType, str]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, metadata={"description": text}) for name, (kind, text) in columns.items()])


_TEXT, _INT, _FLOAT, _BOOL = pa.string(), pa.int64(), pa.float64(), pa.bool_()

TRIALS: Final = _schema(
    study=(_TEXT, "name of the study"),
    run_id=(_TEXT, "the run this trial belongs to"),
    phase=(_TEXT, "search or confirm"),
    arm=(_TEXT, "<method>/<condition>, and /random for a baseline that searches at random"),
    method=(_TEXT, "training method"),
    condition=(_TEXT, "label noise the trial trained under"),
    sampler=(_TEXT, "tpe, or random for a baseline: what suggested the settings after the published ones"),
    noise_kind=(_TEXT, "none, symmetric, symmetric_inclusive, asymmetric, pairflip, instance, human, confusion or saved"),
    noise_rate=(_FLOAT, "share of training labels that are wrong, in [0, 1): as asked for, or counted where the kind leaves it to chance"),
    n_wrong_labels=(_INT, "training labels that are wrong, counted; null of a trial that failed before it had data"),
    dataset=(_TEXT, "data source"),
    model=(_TEXT, "network"),
    trial_id=(_TEXT, "unique within the run"),
    trial_number=(_INT, "within arm and phase, from 0, in the order of suggestion"),
    chosen_as=(
        _TEXT,
        "of search trials that are confirmed, by validation values: best_accuracy, knee, best_ece or front of its arm; among all methods "
        "condition_knee, accurate_and_calibrated or no_worse_than_cross_entropy; null otherwise",
    ),
    confirms=(_TEXT, "of confirm trials: the search trial whose settings were trained again; null otherwise"),
    replicate=(
        _INT,
        "of confirm trials: which fresh seed, from 0; equal ones have equal seeds and wrong labels in every arm; null otherwise",
    ),
    seed=(_INT, "of this trial: weights, order, augmentation, partners"),
    noise_seed=(_INT, "of confirm trials: of their wrong labels; null where they are those of the search, or none"),
    noise_fingerprint=(_TEXT, "of the labels it was given; null of a trial that failed before it had data"),
    state=(_TEXT, "complete, failed, or stopped: ended early because others of its arm were better"),
    epochs=(_INT, "epochs trained"),
    stopped_at=(_INT, "epoch after which early stopping decided against it; null otherwise"),
    audited=(_BOOL, "decided against, but run to its end to see what is lost; state is stopped all the same"),
    val_accuracy=(_FLOAT, "on validation images by the study's validation labels, last epoch; fraction, null if it trained on them"),
    val_ece=(_FLOAT, "expected calibration error there, 15 bins; fraction"),
    val_nll=(_FLOAT, "negative log-likelihood there; nats"),
    val_brier=(_FLOAT, "Brier score there; 0 to 2"),
    validation_labels=(_TEXT, "which validation labels chose: clean or noisy"),
    val_accuracy_clean_labels=(_FLOAT, "accuracy by the true validation labels; fraction"),
    val_ece_clean_labels=(_FLOAT, "ECE by the true validation labels; fraction"),
    val_accuracy_noisy_labels=(_FLOAT, "accuracy by validation labels with the condition's noise; fraction"),
    val_ece_noisy_labels=(_FLOAT, "ECE by validation labels with the condition's noise; fraction"),
    objectives=(_TEXT, "the two columns that the search looked for and that on_front judges by"),
    val_corrupted_accuracy=(
        _FLOAT,
        "mean accuracy over the corrupted validation images, by the study's validation labels; fraction, null if none",
    ),
    val_corrupted_ece=(_FLOAT, "mean ECE over the corrupted validation images, by the study's validation labels; fraction, null if none"),
    val_corrupted_nll=(_FLOAT, "mean NLL over the corrupted validation images, by the study's validation labels; nats, null if none"),
    val_mean_corruption_error=(_FLOAT, "plain mean of the error rates of all corruptions and severities; fraction"),
    val_corruption_error_vs_cross_entropy=(
        _FLOAT,
        "mean over corruptions of the errors summed over severities, divided by those of this run's cross_entropy trial of the condition "
        "that is best in the first objective, without corruptions on which that trial makes none; 1 is as good as that; null without it",
    ),
    val_worst_corruption=(_TEXT, "the corruption with the lowest mean accuracy over its severities"),
    val_worst_corruption_accuracy=(_FLOAT, "that accuracy; fraction"),
    val_flip_probability=(_FLOAT, "mean over the perturbations of how often the predicted class changes along a sequence; null if none"),
    val_top5_distance=(_FLOAT, "mean over the perturbations of the top-5 distance; null if none, or with five classes or fewer"),
    temperature=(_FLOAT, "fitted on clean validation images by NLL; null if it trained on them"),
    test_accuracy=(_FLOAT, "on test images by their true labels, only reported; fraction, null in phase search"),
    test_accuracy_low=(_FLOAT, "lower end of its 95 % bootstrap interval over images; fraction"),
    test_accuracy_high=(_FLOAT, "upper end"),
    test_ece=(_FLOAT, "expected calibration error on test images, 15 bins, only reported; fraction, null in phase search"),
    test_ece_low=(_FLOAT, "lower end of its 95 % bootstrap interval over images, centred on the value; fraction"),
    test_ece_high=(_FLOAT, "upper end"),
    test_nll=(_FLOAT, "negative log-likelihood there; nats"),
    test_brier=(_FLOAT, "Brier score there; 0 to 2"),
    test_ece_temperature_scaled=(
        _FLOAT,
        "ECE there after temperature scaling by `temperature`, or by that of the trial it confirms if it trained on all; fraction",
    ),
    test_corrupted_accuracy=(_FLOAT, "mean accuracy over the corrupted test images; fraction"),
    test_corrupted_ece=(_FLOAT, "mean ECE over the corrupted test images; fraction"),
    test_corrupted_nll=(_FLOAT, "mean NLL over the corrupted test images; nats"),
    test_mean_corruption_error=(_FLOAT, "plain mean of the error rates of all corruptions and severities of test images; fraction"),
    test_corruption_error_vs_cross_entropy=(
        _FLOAT,
        "as val_corruption_error_vs_cross_entropy, on test images, against the training with the same fresh seed that confirms the "
        "condition's most accurate cross_entropy trial",
    ),
    test_worst_corruption=(_TEXT, "the corruption of test images with the lowest mean accuracy over its severities"),
    test_worst_corruption_accuracy=(_FLOAT, "that accuracy; fraction"),
    test_flip_probability=(_FLOAT, "mean over the perturbations of how often the predicted class changes along a sequence of test images"),
    test_top5_distance=(_FLOAT, "mean over the perturbations of the top-5 distance of test images"),
    on_front=(_BOOL, "phase search: no finished trial of the arm is better in both objectives; false in phase confirm"),
    train_seconds=(_FLOAT, "wall time of the epochs, validation included"),
    evaluate_seconds=(_FLOAT, "wall time of the final evaluation"),
    images_per_second=(_FLOAT, "images pushed through the network a second of training"),
    images_seen=(_INT, "images pushed through the network in training, partners included"),
    n_parameters=(_INT, "trainable parameters"),
    node=(_TEXT, "host name"),
    device=(_TEXT, "cpu, or the GPU's name"),
    error=(_TEXT, "why a trial failed; null otherwise"),
)  # and param_<name> (float64, or text) for each hyperparameter, null where a method has none
EPOCHS: Final = _schema(
    trial_id=(_TEXT, "of table trials"),
    epoch=(_INT, "1 is the first"),
    train_loss=(_FLOAT, "mean total loss; nats"),
    train_accuracy=(_FLOAT, "training images predicted as their given label when they were trained on; fraction"),
    val_accuracy=(_FLOAT, "by the study's validation labels; fraction"),
    val_ece=(_FLOAT, "by the study's validation labels; fraction"),
    val_nll=(_FLOAT, "by the study's validation labels; nats"),
    learning_rate=(_FLOAT, "of the epoch's last step"),
    label_recovery=(_FLOAT, "wrongly labelled training images whose label is estimated right; fraction, null without noise"),
    memorised=(_FLOAT, "wrongly labelled training images predicted as their wrong label; fraction, null without noise"),
    images_seen=(_INT, "images pushed through the network in this epoch, partners included"),
    seconds=(_FLOAT, "wall time, validation included"),
)
_SHIFT_KEY: Final = {
    "trial_id": (_TEXT, "of table trials"),
    "phase": (_TEXT, "search or confirm"),
    "split": (_TEXT, "val (by the study's validation labels), val_clean_labels, val_noisy_labels, or test"),
    "shift": (_TEXT, "clean, corruption or perturbation"),
    "name": (_TEXT, "of the corruption or perturbation; clean"),
    "severity": (_INT, "1 to 5; 0 for clean, 1 for a perturbation"),
}
EVALUATIONS: Final = _schema(
    **_SHIFT_KEY,
    n=(_INT, "images, or sequences"),
    accuracy=(_FLOAT, "fraction"),
    top5_accuracy=(_FLOAT, "label among the five most probable; fraction, null with five classes or fewer"),
    ece=(_FLOAT, "expected calibration error, 15 equal bins (low, high]; fraction"),
    adaptive_ece=(_FLOAT, "15 bins of equal mass; fraction"),
    classwise_ece=(_FLOAT, "mean over classes, 15 equal bins; fraction"),
    maximum_calibration_error=(_FLOAT, "largest gap of the 15 equal bins; fraction"),
    rms_calibration_error=(_FLOAT, "root mean square gap, 15 equal bins; fraction"),
    debiased_calibration_error=(_FLOAT, "RMS error, 15 bins of equal mass, less what sampling adds; fraction"),
    nll=(_FLOAT, "negative log-likelihood; nats"),
    brier=(_FLOAT, "Brier score; 0 to 2"),
    aurc=(_FLOAT, "area under the risk-coverage curve; fraction"),
    excess_aurc=(_FLOAT, "aurc less that of an ideal order; fraction"),
    ece_temperature_scaled=(_FLOAT, "ECE after temperature scaling; fraction; optimistic on val, where the temperature is fitted"),
    temperature=(_FLOAT, "fitted on clean validation images by NLL"),
    flip_probability=(_FLOAT, "of perturbation sequences, whose other metrics are null; null otherwise"),
    top5_distance=(_FLOAT, "of perturbation sequences; null otherwise, and with five classes or fewer"),
)
RELIABILITY: Final = _schema(
    **_SHIFT_KEY,
    bin=(_INT, "0 to 14; bin b is (b/15, (b+1)/15]"),
    count=(_INT, "images"),
    mean_confidence=(_FLOAT, "fraction; null in an empty bin"),
    accuracy=(_FLOAT, "fraction; null in an empty bin"),
)


@dataclass(frozen=True)
class Tables:
    """The tables of one run."""

    trials: pa.Table
    epochs: pa.Table
    evaluations: pa.Table
    reliability: pa.Table


def build_tables(events: Iterable[Event], constants: Mapping[str, Any]) -> Tables:
    """Tables from a ledger.

    A trial that was interrupted and run again counts once: the last word on an epoch or a trial holds.

    Args:
        events: of the ledger, in order.
        constants: `study`, `run_id`, `dataset`, `model`, `validation_labels` and `objectives` (two columns and a comma) of the run.
    """
    suggested: dict[str, Event] = {}
    ended: dict[str, Event] = {}
    chosen: dict[str, list[str]] = {}
    epochs: dict[tuple[str, int], Event] = {}
    for event in events:
        match event["event"]:
            case "suggest":
                suggested[event["trial_id"]] = event
            case "epochs":
                epochs |= {(event["trial_id"], row["epoch"]): {**row, "trial_id": event["trial_id"]} for row in event["rows"]}
            case "end":
                ended[event["trial_id"]] = event
            case "confirm":
                chosen = chosen or event["chosen"]
    rows = [_trial_row(suggested[trial_id], end, constants) for trial_id, end in ended.items() if trial_id in suggested]
    for row in rows:
        row["chosen_as"] = ", ".join(chosen[row["trial_id"]]) if row["trial_id"] in chosen else None
    rows.sort(key=trial_order)
    add_corruption_errors(rows, {trial_id: end["evaluations"] for trial_id, end in ended.items()})
    epochs = {key: row for key, row in epochs.items() if key[0] in ended}
    names = list(dict.fromkeys(key for row in rows for key in row if key.startswith("param_")))  # in their spaces' order
    meaning = {"description": "hyperparameter; null where the method has none"}
    texts = {key for row in rows for key, value in row.items() if key.startswith("param_") and isinstance(value, str)}
    descriptions = [pa.field(name, _TEXT if name in texts else _FLOAT, metadata=meaning) for name in names]
    schema = pa.schema([*TRIALS, *descriptions])

    def shifted(kind: str) -> list[Event]:
        return [{"trial_id": row["trial_id"], "phase": row["phase"], **entry} for row in rows for entry in ended[row["trial_id"]][kind]]

    return Tables(
        trials=pa.Table.from_pylist(mark_fronts(rows, *constants["objectives"].split(", ")), schema),
        epochs=pa.Table.from_pylist(list(epochs.values()), EPOCHS),
        evaluations=pa.Table.from_pylist(shifted("evaluations"), EVALUATIONS),
        reliability=pa.Table.from_pylist(shifted("reliability"), RELIABILITY),
    )


def trial_order(row: Mapping[str, Any]) -> tuple[bool, int, str]:
    """How the rows of table `trials` are sorted, and so the trials of `evaluations` and `reliability`."""
    return row["phase"] == "confirm", row["trial_number"], row["arm"]


def _trial_row(suggest: Event, end: Event, constants: Mapping[str, Any]) -> Event:
    own = ("phase", "arm", "method", "condition", "noise_kind", "trial_id", "trial_number", "seed")
    row = {**constants, **{name: suggest[name] for name in own}, **end["metrics"]}
    row |= {name: suggest.get(name) for name in ("confirms", "replicate", "noise_seed")}
    row |= {"sampler": suggest.get("sampler", "tpe"), "audited": False, "temperature": own_temperature(end)}
    row |= {field.name: end[field.name] for field in TRIALS if field.name in end}
    row["noise_rate"] = suggest["noise_rate"] if suggest["noise_rate"] is not None else end.get("wrong_label_share")
    return row | {f"param_{name}": value for name, value in suggest["params"].items()}


def mark_fronts(rows: list[Event], accuracy_column: str, ece_column: str) -> list[Event]:
    """Set `on_front` of all rows of table `trials`, in place, by these two columns; the rows.

    Only complete trials of phase search can be on a front, each on that of its arm.
    """
    for row in rows:
        row["on_front"] = False
    searched = [row for row in rows if row["phase"] == "search" and row["state"] == "complete"]
    for arm in {row["arm"] for row in searched}:
        members = [row for row in searched if row["arm"] == arm]
        accuracy = np.array([row.get(accuracy_column, np.nan) for row in members], dtype=np.float64)
        ece = np.array([row.get(ece_column, np.nan) for row in members], dtype=np.float64)
        for row, best in zip(members, non_dominated(accuracy, ece), strict=True):
            row["on_front"] = bool(best)
    return rows


def write_tables(run: RunFolder, tables: Tables, metadata: Mapping[str, str]) -> None:
    """Write tables/<name>.parquet, each atomically, with `metadata` and the schema version in the file."""
    for field in fields(tables):
        table: pa.Table = getattr(tables, field.name)
        table = table.replace_schema_metadata({"schema_version": SCHEMA_VERSION, **metadata})
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd")
        write_atomically(run.tables / f"{field.name}.parquet", sink.getvalue())


def read_tables(run: RunFolder) -> Tables:
    """The tables of a run, from Parquet.

    Raises:
        DataError: a table is missing, broken, or of another schema version; or no trial has ended, so that there can be none.
    """
    if not any(run.tables.glob("*.parquet")) and not any(event["event"] == "end" for event in read_ledger(run.ledger).events):
        raise no_trial_ended(run)
    tables = {}
    for field in fields(Tables):
        path = run.tables / f"{field.name}.parquet"
        if not path.is_file():
            raise DataError(
                f"No table {str(path)!r}: tables are written when a run ends. Build them with: python -m studies front {run.path}"
            )
        try:
            table = pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path}: not a readable table ({one_line(error, limit=100)}).") from error
        version = (table.schema.metadata or {}).get(b"schema_version", b"none").decode()
        if version != SCHEMA_VERSION:
            writer = _writer(table.schema.metadata or {})
            raise DataError(
                f"{path}: schema version {version}{writer}, but this program reads version {SCHEMA_VERSION}. Build the tables again from "
                f"the run's ledger with: python -m studies front {run.path}"
            )
        tables[field.name] = table
    return Tables(**tables)


def no_trial_ended(run: RunFolder) -> DataError:
    """What to say of a run that has nothing to show yet."""
    return DataError(f"No trial of {run.path} has ended; finish the run: python -m studies resume {run.path}")


def _writer(metadata: Mapping[bytes, bytes]) -> str:
    """Which version of this program wrote a table, where it says so."""
    try:
        return f" (written by bsd-study {json.loads(metadata[b'provenance'])['packages']['bsd-study']})"
    except (KeyError, TypeError, ValueError):
        return ""
