"""Every metric of the confirm phase that follows from stored predictions, computed again from their float16 logits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor

from bsd_core.evaluate import measure, reliability
from bsd_core.metrics.calibration import fit_temperature
from bsd_core.seeds import derive_seed
from studies.measure import image_intervals
from studies.predictions import Prediction, read_predictions
from studies.tables import Tables
from studies.tally import DifferenceError, Tally, row_name
from studies.verify_derived import SHIFT_KEY

Row = dict[str, Any]
Labels = dict[tuple[str, str], Prediction]  # by what they must agree on and by split: the first prediction that was judged by them


def check_predictions(folder: Path, tables: Tables, tally: Tally, *, kept: bool) -> int:
    """Compare metrics, reliability diagrams, temperatures and intervals of finished confirm trials.

    Args:
        folder: of the predictions, a file a trial.
        tables: of the run.
        tally: counts; the order of a sum depends on machine and threads, so it should have a tolerance.
        kept: whether the study keeps predictions, so that every trial must have some.

    Returns:
        Trials with predictions.

    Raises:
        DifferenceError: at the first number that is not what it should be, or a file that is missing.
        DataError: a file is not one of predictions.
    """
    evaluations, bins = _by_shift(tables.evaluations.to_pylist()), _by_shift(tables.reliability.to_pylist())
    labels: Labels = {}
    n_trials = 0
    for row in tables.trials.to_pylist():
        if row["phase"] != "confirm" or row["state"] != "complete":
            continue
        path = folder / f"{row['trial_id']}.parquet"
        if not path.is_file():
            if kept:
                raise DifferenceError(f"predictions, trial {row['trial_id']}: {path.name} is missing, but the study keeps predictions")
            continue
        n_trials += 1
        predictions = read_predictions(path)
        _check_clean_ones_are_there(row, predictions, path)
        _check_logits(row, predictions, path)
        for prediction in predictions:
            _check_labels(row, prediction, labels)
            key = (row["trial_id"], *prediction.key)
            if key not in evaluations:
                raise DifferenceError(f"predictions, {_name(key)}: table evaluations has no such row")
            _check_metrics(row, prediction, evaluations[key][0], bins.get(key, []), tally)
    return n_trials


def _by_shift(rows: list[Row]) -> Mapping[tuple[Any, ...], list[Row]]:
    grouped = defaultdict(list)
    for row in rows:
        grouped[tuple(row[name] for name in SHIFT_KEY)].append(row)
    return grouped


def _check_clean_ones_are_there(row: Row, predictions: list[Prediction], path: Path) -> None:
    splits = {prediction.split for prediction in predictions if prediction.shift == "clean"}
    for split in ("test", *(("val",) if row["temperature"] is not None else ())):
        if split not in splits:
            raise DifferenceError(f"predictions, trial {row['trial_id']}: {path.name} has no predictions of clean {split} images")


def _check_logits(row: Row, predictions: list[Prediction], path: Path) -> None:
    """Finite, of as many classes as the labels need, and the largest where `predicted` says."""
    for prediction in predictions:
        name = _name((row["trial_id"], *prediction.key))
        if not np.isfinite(prediction.logits).all():
            raise DifferenceError(f"predictions, {name}: a logit is NaN or infinite")
        n_classes = prediction.logits.shape[1]
        if prediction.targets.min() < 0 or prediction.targets.max() >= n_classes:
            raise DifferenceError(f"predictions, {name}, column target: labels are not of {n_classes} classes")
    largest = np.concatenate([prediction.logits.argmax(1) for prediction in predictions])
    stored = pq.read_table(path, columns=["predicted"])["predicted"].to_numpy()
    if len(wrong := np.flatnonzero(stored != largest)):
        place = wrong[0]
        message = f"{stored[place]} in the file, {largest[place]} by its logits"
        raise DifferenceError(f"predictions, trial {row['trial_id']}, line {place} of {path.name}, column predicted: {message}")


def _check_labels(row: Row, prediction: Prediction, labels: Labels) -> None:
    """The test split is the same for all trials; labels of validation images that may be noisy are for one draw of noise."""
    judged_alike = "all" if prediction.split == "test" else f"{row['condition']}/{row['replicate']}"
    first = labels.setdefault((judged_alike, prediction.split), prediction)
    rows, targets = prediction.rows, prediction.targets
    key = (row["trial_id"], *prediction.key)
    if prediction.shift == "clean" and not np.array_equal(rows, first.rows):
        raise DifferenceError(f"predictions, {_name(key)}: its images are not those of other trials")
    if len(rows) and (rows.min() < 0 or rows.max() >= len(first.targets)):
        raise DifferenceError(f"predictions, {_name(key)}: its images are not among those of the split")
    if len(wrong := np.flatnonzero(targets != first.targets[rows])):
        place, right = wrong[0], first.targets[rows[wrong[0]]]
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


def _name(key: tuple[Any, ...]) -> str:
    return ", ".join(row_name(dict(zip(SHIFT_KEY, key, strict=True)), SHIFT_KEY))
