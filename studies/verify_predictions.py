"""Every metric of the confirm phase that follows from stored predictions, computed again from their float16 logits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bsd_core.evaluate import measure, reliability
from bsd_core.metrics.calibration import fit_temperature
from bsd_core.seeds import derive_seed
from studies.confirm_fields import Confirm
from studies.measure import image_intervals
from studies.predictions import Prediction, iterate_predictions, read_predicted
from studies.tables import Tables
from studies.tally import DifferenceError, Tally, row_name
from studies.verify_form import SHIFT_KEY

Row = dict[str, Any]
Key = tuple[Any, ...]  # of a row of table evaluations
Int64 = npt.NDArray[np.int64]
Labels = dict[tuple[str, str], tuple[Int64, Int64]]  # by what they must agree on and by split: rows and targets of the first prediction


def check_predictions(folder: Path, tables: Tables, tally: Tally, *, confirm: Confirm | None) -> int:
    """Compare metrics, reliability diagrams, temperatures and intervals of finished confirm trials.

    Args:
        folder: of the predictions, a file a trial.
        tables: of the run.
        tally: counts; the order of a sum depends on machine and threads, so it should have a tolerance.
        confirm: the study's; says which predictions every trial must have.

    Returns:
        Trials with predictions.

    Raises:
        DifferenceError: at the first number that is not what it should be, or a file or prediction that is missing or too much.
        DataError: a file is not one of predictions.
    """
    evaluations, bins = _by_shift(tables.evaluations.to_pylist()), _by_shift(tables.reliability.to_pylist())
    labels: Labels = {}
    n_trials = 0
    kept = "none" if confirm is None else confirm.predictions
    trials = tables.trials.to_pylist()
    _check_no_surplus(folder, trials, confirm)
    for row in trials:
        if row["phase"] != "confirm" or row["state"] != "complete":
            continue
        path = folder / f"{row['trial_id']}.parquet"
        if not path.is_file():
            if kept != "none":
                raise DifferenceError(f"predictions, trial {row['trial_id']}: {path.name} is missing, but the study keeps predictions")
            continue
        n_trials += 1
        wanted = [key for key in evaluations if key[0] == row["trial_id"] and _is_kept(key, kept)]
        found: set[Key] = set()
        stored = read_predicted(path)
        line = 0
        for prediction in iterate_predictions(path):
            key = (row["trial_id"], *prediction.key)
            if key not in evaluations:
                raise DifferenceError(f"predictions, {_name(key)}: table evaluations has no such row")
            if key in found:
                raise DifferenceError(f"predictions, {_name(key)}: they are there twice")
            found.add(key)
            _check_logits(key, prediction)
            _check_predicted(row, prediction, stored, line, path)
            _check_labels(row, prediction, labels)
            _check_metrics(row, prediction, evaluations[key][0], bins.get(key, []), tally)
            line += len(prediction.rows)
        for key in wanted:
            if key not in found:
                raise DifferenceError(f"predictions, {_name(key)}: missing in {path.name}")
    return n_trials


def _is_kept(key: Key, kept: str) -> bool:
    """Whether a study that keeps such predictions keeps those of this row of table evaluations."""
    _, split, shift, *_ = key
    return split in ("val", "test") and (shift == "clean" if kept == "clean" else shift != "perturbation")


def _check_no_surplus(folder: Path, trials: list[Row], confirm: Confirm | None) -> None:
    """Files are of finished confirm trials, or of such as may still be at work; a study that keeps none has none."""
    n_seeds = 0 if confirm is None or confirm.predictions == "none" else confirm.seeds
    states = {row["trial_id"]: row["state"] for row in trials}
    chosen = [row["trial_id"] for row in trials if row["chosen_as"] is not None]
    trainings = [f"{trial_id}-confirm-{replicate}" for trial_id in chosen for replicate in range(n_seeds)]
    possible = {trial_id for trial_id in trainings if states.get(trial_id, "complete") == "complete"}
    for path in sorted(folder.glob("*.parquet")):
        if path.stem not in possible:
            raise DifferenceError(f"predictions, {path.name}: no training that keeps predictions is called so")


def _by_shift(rows: list[Row]) -> Mapping[Key, list[Row]]:
    grouped = defaultdict(list)
    for row in rows:
        grouped[tuple(row[name] for name in SHIFT_KEY)].append(row)
    return grouped


def _check_logits(key: Key, prediction: Prediction) -> None:
    """Finite, and of as many classes as the labels need."""
    if not np.isfinite(prediction.logits).all():
        raise DifferenceError(f"predictions, {_name(key)}: a logit is NaN or infinite")
    n_classes = prediction.logits.shape[1]
    if prediction.targets.min() < 0 or prediction.targets.max() >= n_classes:
        raise DifferenceError(f"predictions, {_name(key)}, column target: labels are not of {n_classes} classes")


def _check_predicted(row: Row, prediction: Prediction, stored: Int64, line: int, path: Path) -> None:
    """`predicted` names the largest logit.

    Args:
        row: of table trials.
        prediction: one of its file.
        stored: the whole file's column.
        line: where the prediction begins.
        path: of the file.
    """
    largest = prediction.logits.argmax(axis=1)
    own = stored[line : line + len(largest)]
    if len(wrong := np.flatnonzero(own != largest)):
        message = f"{own[wrong[0]]} in the file, {largest[wrong[0]]} by its logits"
        raise DifferenceError(f"predictions, trial {row['trial_id']}, line {line + wrong[0]} of {path.name}, column predicted: {message}")


def _check_labels(row: Row, prediction: Prediction, labels: Labels) -> None:
    """The test split is the same for all trials; labels of validation images that may be noisy are for one draw of noise."""
    judged_alike = "all" if prediction.split == "test" else f"{row['condition']}/{row['replicate']}"
    rows, targets = prediction.rows, prediction.targets
    first_rows, first_targets = labels.setdefault((judged_alike, prediction.split), (rows, targets))
    key = (row["trial_id"], *prediction.key)
    if prediction.shift == "clean" and not np.array_equal(rows, first_rows):
        raise DifferenceError(f"predictions, {_name(key)}: its images are not those of other trials")
    if len(rows) and (rows.min() < 0 or rows.max() >= len(first_targets)):
        raise DifferenceError(f"predictions, {_name(key)}: its images are not among those of the split")
    if len(wrong := np.flatnonzero(targets != first_targets[rows])):
        place, right = wrong[0], first_targets[rows[wrong[0]]]
        raise DifferenceError(
            f"predictions, {_name(key)}, row {rows[place]}, column target: {targets[place]} in the file, {right} in another trial's"
        )


def _check_metrics(row: Row, prediction: Prediction, evaluation: Row, bins: list[Row], tally: Tally) -> None:
    logits, targets = _tensors(prediction)
    key = (row["trial_id"], *prediction.key)
    where = ("table evaluations", _name(key))
    tally.check_fields(evaluation, measure(logits, targets, temperature=evaluation["temperature"]), *where)
    for bin_, right in zip(bins, reliability(logits, targets), strict=True):
        tally.check_fields(bin_, right, "table reliability", f"{_name(key)}, bin {right['bin']}")
    if prediction.shift != "clean":
        return
    if prediction.split == "val":
        tally.check(evaluation["temperature"], fit_temperature(logits, targets), *where, "column temperature")
    else:
        intervals = image_intervals(logits.softmax(1), targets, seed=derive_seed(row["seed"], "intervals"))
        tally.check_fields(row, intervals, "table trials", f"trial {row['trial_id']}")


def _tensors(prediction: Prediction) -> tuple[Tensor, Tensor]:
    """Logits as they were measured, and targets."""
    return torch.tensor(prediction.logits).double(), torch.tensor(prediction.targets)


def _name(key: Key) -> str:
    return ", ".join(row_name(dict(zip(SHIFT_KEY, key, strict=True)), SHIFT_KEY))
