"""The statistics of a run as one document, report/statistics.json: what the report shows, and what `verify` computes again.

Computed from the tables, the study and the stored predictions alone; equal inputs give equal numbers.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from studies.arm_space import searched_settings
from studies.budgets import collect_budgets
from studies.confirm_fields import Confirm
from studies.features import features_folder
from studies.operating_points import operating_points
from studies.run_folder import RunFolder
from studies.spec import StudySpec
from studies.statistics.audit import audit_summary
from studies.statistics.comparisons import LEVEL, MethodComparison, compare_methods, failed_trainings, rank_methods
from studies.statistics.confirmed import (
    ConfirmedPoint,
    ConfirmedSummary,
    Row,
    confirmed_points,
    corruption_accuracies,
    settings_of,
    summarise_point,
)
from studies.statistics.features import feature_quality
from studies.statistics.file import DOCUMENT_VERSION, write_statistics
from studies.statistics.fronts import anytime_hypervolume, attainment, fronts_of_seeds, hypervolume_over_seeds
from studies.statistics.importance import importances
from studies.statistics.seeds import summarise
from studies.statistics.stored import StoredPredictions
from studies.statistics.winners_curse import collect_winners_curse
from studies.tables import Tables


def collect_statistics(tables: Tables, spec: StudySpec, predictions: Path) -> dict[str, Any]:
    """All statistics of a run; what a run has not come to, or was not asked for, is empty or None.

    Args:
        tables: of the run.
        spec: its study.
        predictions: folder of the stored logits, with that of the stored features beside it; without files, methods are compared over
            seeds alone, and nothing is said of features.

    Returns:
        Of JSON's types only, without NaN:

        schema_version: of this document.
        setup: what readers of the numbers must know of the study: see `_setup`.
        budgets: `Budgets`.
        confirmed: `ConfirmedSummary` of each chosen setting.
        comparisons: `MethodComparison` of each pair, without a verdict where budgets are unequal; `level` is where verdicts fall.
        ranking: by role, condition and metric, `Ranked`; None where budgets are unequal, a compared training failed or nothing is
            confirmed, and `not_ranked_because` says why.
        fronts: `objectives` of the search; by arm, baselines too, `search`, and by arm `confirmed`: see `_search_front` and
            `_confirmed_front`.
        features: by id of a chosen setting, `FeatureQuality` of its first training; without those of which no features are stored.
        winners_curse: `WinnersCurse`.
        importance: by arm and objective, None where trials are too few, else by setting.
        operating_points: `OperatingPoint`; `confirmed_as`, the chosen trial that has its settings, usually itself; and the `test_accuracy`
            and `test_ece` of that over seeds. None where it was not confirmed.
        audit: by arm, `AuditSummary`; None without early stopping.

    Raises:
        DataError: a file of predictions or features is broken.
    """
    rows = tables.trials.to_pylist()
    searched = [row for row in rows if row["phase"] == "search"]
    confirmed = [row for row in rows if row["phase"] == "confirm"]
    points = confirmed_points(rows, arms=[arm.name for arm in spec.compared_arms])
    corruptions = corruption_accuracies(tables.evaluations)
    summaries = [summarise_point(point, corruptions) for point in points]
    budgets = collect_budgets(rows, spec)
    comparisons = compare_methods(points, StoredPredictions(predictions, seed=spec.seed), judged=budgets.equal)
    nothing = [] if comparisons else ["no two methods were confirmed in one condition"]
    reasons = [*budgets.reasons, *failed_trainings(points), *nothing]
    document = {
        "schema_version": DOCUMENT_VERSION,
        "setup": _setup(tables.evaluations, spec),
        "budgets": budgets,
        "confirmed": summaries,
        "level": LEVEL,
        "comparisons": [_flat(pair) for pair in comparisons],
        "ranking": None if reasons else rank_methods(points, comparisons),
        "not_ranked_because": reasons,
        "fronts": {
            "objectives": list(spec.targets),
            "search": {arm.name: _search_front(_of(searched, arm.name), spec) for arm in spec.arms},
            "confirmed": {
                arm.name: _confirmed_front([point for point in points if point.arm == arm.name], spec) for arm in spec.compared_arms
            },
        },
        "features": feature_quality(features_folder(predictions), _first_trainings(points)),
        "winners_curse": collect_winners_curse(searched, confirmed),
        "importance": _importance(searched, spec),
        "operating_points": _operating_points(searched, spec, summaries),
        "audit": audit_summary(searched) if spec.stopping.rungs is not None else None,
    }
    plain: dict[str, Any] = as_json(document)
    return plain


def update_statistics(run: RunFolder, tables: Tables) -> dict[str, Any]:
    """Collect the statistics of a run and write them to report/statistics.json; the document.

    Raises:
        DataError: a file of predictions or features is broken.
        StorageError: the document cannot be written.
    """
    document = collect_statistics(tables, run.spec(), run.predictions)
    write_statistics(run, document)
    return document


def as_json(value: Any) -> Any:
    """The same in JSON's types: dataclasses and named tuples as mappings by field, keys as text, NaN and infinity as None.

    Raises:
        TypeError: of another kind.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return as_json(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): as_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(entry) for entry in value]
    if isinstance(value, np.generic):
        return as_json(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"Expected numbers, text, mappings and lists, but got {type(value).__name__}.")


def _of(rows: Sequence[Row], arm: str) -> list[Row]:
    return [row for row in rows if row["arm"] == arm]


def _flat(pair: MethodComparison) -> dict[str, Any]:
    """A comparison with its numbers beside its names, not below them."""
    document: dict[str, Any] = as_json(pair)
    numbers: dict[str, Any] = document.pop("comparison")
    return document | numbers


def _setup(evaluations: pa.Table, spec: StudySpec) -> dict[str, Any]:
    """`n_test` images, and of the field `confirm` `seeds`, `noise_seeds` and `train_on`; None where there was no confirm phase."""
    wanted = {"phase": "confirm", "split": "test", "shift": "clean"}
    clean = evaluations.filter(functools.reduce(pc.and_, (pc.equal(evaluations[name], value) for name, value in wanted.items())))
    fields = ("seeds", "noise_seeds", "train_on")
    return {"n_test": max(clean["n"].to_pylist(), default=None)} | {name: getattr(spec.confirm, name, None) for name in fields}


def _search_front(rows: Sequence[Row], spec: StudySpec) -> dict[str, Any]:
    """`anytime`, by field of `AnytimePoint`: where the search stood after each of its trials."""
    points = anytime_hypervolume(rows, spec.targets)
    names = ("n_trials", "train_seconds", "epochs", "hypervolume")
    return {"anytime": {name: [getattr(point, name) for point in points] for name in names}}


def _confirmed_front(points: Sequence[ConfirmedPoint], spec: StudySpec) -> dict[str, Any] | None:
    """`objectives`, `attainment` by percentage of seeds, and `hypervolume` over seeds, of `n_settings` of the arm together on test images.

    These are the points that the arm itself gave. What only the operating points named is left out: it would favour the arms they name.
    Replicates that not all points have come to, as in an unfinished run, are left out. None where none is left or nothing was measured.
    """
    objectives = tuple(name.replace("val_", "test_", 1) for name in spec.targets)
    points = [point for point in points if point.chosen_in_arm]
    trainings = [row for point in points for row in point.trainings]
    whole = {row["replicate"] for row in trainings if sum(row["replicate"] == other["replicate"] for other in trainings) == len(points)}
    rows = [row for row in trainings if row["replicate"] in whole]
    if not any(row[objectives[0]] is not None and row[objectives[1]] is not None for row in rows):
        return None
    sets = fronts_of_seeds(rows, (objectives[0], objectives[1]))
    return {
        "objectives": objectives,
        "attainment": attainment(sets),
        "hypervolume": summarise(hypervolume_over_seeds(sets)),
        "n_settings": len(points),
    }


def _first_trainings(points: Sequence[ConfirmedPoint]) -> dict[str, str]:
    """By id of a chosen setting, that of its training whose features are kept, if that has finished."""
    return {point.trial_id: row["trial_id"] for point in points for row in point.finished if row["replicate"] == 0}


def _importance(searched: Sequence[Row], spec: StudySpec) -> dict[str, Any]:
    return {
        arm.name: importances(_of(searched, arm.name), searched_settings(spec, arm.method), spec.targets, seed=spec.seed)
        for arm in spec.compared_arms
    }


def _operating_points(searched: Sequence[Row], spec: StudySpec, summaries: Sequence[ConfirmedSummary]) -> list[dict[str, Any]]:
    """By condition, in the order of the study; what is about all conditions and missing comes last."""
    trained = {row["trial_id"]: (row["arm"], settings_of(row)) for row in searched}
    points = operating_points(searched, objectives=spec.targets, max_ece=(spec.confirm or Confirm()).max_ece)
    order = [*(condition.name for condition in spec.conditions), None]
    found = []
    for point in sorted(points, key=lambda point: order.index(point.condition)):
        same = [summary for summary in summaries if (summary.arm, summary.settings) == trained.get(point.trial_id or "")]  # one at most
        metrics = same[0].metrics if same and same[0].n_finished else {}
        confirmed = {"confirmed_as": same[0].trial_id if same else None}
        found.append(as_json(point) | confirmed | {metric: as_json(metrics.get(metric)) for metric in ("test_accuracy", "test_ece")})
    return found
