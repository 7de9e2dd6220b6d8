"""What a run's tables say of robustness: corruption errors relative to the study's own cross-entropy arm, and a summary by method.

Pure functions over rows; no torch here, which readers of tables need not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from statistics import fmean
from sys import intern
from typing import Any, Final

import pyarrow as pa
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from studies.screen import percent

Row = dict[str, Any]
ErrorGrids = dict[str, dict[str, list[float]]]
BASE_METHOD: Final = "cross_entropy"
ERROR_COLUMNS: Final = ("split", "shift", "name", "severity", "accuracy")


def add_corruption_errors(trials: Sequence[Row], errors: Mapping[str, ErrorGrids]) -> None:
    """Fill `val_` and `test_corruption_error_vs_cross_entropy` of finished trials, in place.

    The base of a condition is the finished cross-entropy trial of the search that is best in the study's first objective (ties: in the
    second), so the row that `collect_robustness` shows of cross-entropy is 1; on test images, the training with the same fresh seed that
    confirms this trial. A corruption on which the base makes no error, as small splits have, is left out of the mean: nothing can be
    divided by it. The published mCE divides by AlexNet's errors on ImageNet-C, which say nothing about small images.

    Args:
        trials: rows of table `trials`, with their `objectives`.
        errors: by trial_id, of `error_grids`.
    """
    finished = [row for row in trials if row["state"] == "complete"]
    for condition in {row["condition"] for row in finished}:
        members = [row for row in finished if row["condition"] == condition]
        searched = [row for row in members if row["phase"] == "search"]
        bases = [row for row in searched if row["method"] == BASE_METHOD and row["sampler"] != "random"]
        if not bases:
            continue
        base = max(bases, key=_rank)
        _divide(searched, base, errors, "val")
        for repeat in [row for row in members if row["confirms"] == base["trial_id"]]:
            paired = [row for row in members if row["phase"] == "confirm" and row["replicate"] == repeat["replicate"]]
            _divide(paired, repeat, errors, "test")


def _divide(members: Sequence[Row], base: Row, errors: Mapping[str, ErrorGrids], split: str) -> None:
    base_errors = errors[base["trial_id"]].get(split, {})
    for row in members:
        own = errors[row["trial_id"]].get(split, {})
        ratios = [sum(own[name]) / sum(base) for name, base in base_errors.items() if name in own and any(base)]
        if ratios:
            row[f"{split}_corruption_error_vs_cross_entropy"] = fmean(ratios)


def _rank(row: Row) -> tuple[float, float]:
    """Larger is better: the first objective, then the second."""
    accuracy, ece = row["objectives"].split(", ")
    return row[accuracy], -row[ece]


def error_grids(evaluations: Iterable[tuple[Any, ...]]) -> ErrorGrids:
    """Error rates by split, by corruption, in the order of severity, of one trial.

    Args:
        evaluations: `ERROR_COLUMNS` of its rows of table `evaluations`.
    """
    corrupted = [(split, name, severity, accuracy) for split, shift, name, severity, accuracy in evaluations if shift == "corruption"]
    grids: ErrorGrids = {}
    for split, name, _, accuracy in sorted(corrupted, key=itemgetter(0, 1, 2)):
        if accuracy is not None:
            grids.setdefault(split, {}).setdefault(intern(name), []).append(1 - accuracy)
    return grids


def collect_robustness(trials: pa.Table, *, arms: Sequence[str]) -> dict[str, list[Row]]:
    """By condition, a row of table `trials` for each method: the most accurate trial of its front, by the study's first objective.

    Args:
        trials: of phase search.
        arms: `<method>/<condition>` in the order to show; those without a finished trial are left out.

    Returns:
        Empty where no trial was shown a corruption or a perturbation.
    """
    rows = [row for row in trials.to_pylist() if row["phase"] == "search" and row["on_front"]]
    if not any(row["val_corrupted_accuracy"] is not None or row["val_flip_probability"] is not None for row in rows):
        return {}
    conditions: dict[str, list[Row]] = {}
    for arm in arms:
        members = [row for row in rows if row["arm"] == arm]
        if members:
            best = max(members, key=_rank)
            conditions.setdefault(best["condition"], []).append(best)
    return conditions


def render_robustness(conditions: Mapping[str, Sequence[Row]]) -> RenderableType:
    """The summary as terminal tables, one a condition, readable at 80 columns."""
    rows = [row for members in conditions.values() for row in members]
    corrupted = any(row["val_corrupted_accuracy"] is not None for row in rows)
    perturbed = any(row["val_flip_probability"] is not None for row in rows)
    objectives = rows[0]["objectives"].split(", ") if rows else []
    best = "most accurate trial" if "val_accuracy" in objectives else "trial that is most accurate on corrupted images"
    parts: list[RenderableType] = [Text(f"robustness of each front's {best}", style="bold")]
    for condition, members in conditions.items():
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        table.add_column(f"condition\n{condition}", no_wrap=True)
        titles = ["clean\nacc %"]
        titles += ["mean\nerr. %", "vs\nCE", "corr.\nECE %", "corr.\nNLL", "worst\n(acc %)"] * corrupted
        titles += ["flips\n%"] * perturbed
        for title in titles:
            table.add_column(title, justify="right", no_wrap=not title.startswith("worst"))
        for row in members:
            cells = [percent(row["val_accuracy"])]
            if corrupted:
                relative, nll = row["val_corruption_error_vs_cross_entropy"], row["val_corrupted_nll"]
                cells += [percent(row["val_mean_corruption_error"]), "-" if relative is None else f"{relative:.2f}"]
                cells += [percent(row["val_corrupted_ece"]), "-" if nll is None else f"{nll:.2f}"]
                cells.append(f"{row['val_worst_corruption'] or ''} ({percent(row['val_worst_corruption_accuracy'])})")
            cells += [percent(row["val_flip_probability"])] * perturbed
            table.add_row(Text(row["method"]), *cells)
        parts += [table, Text()]
    notes = []
    if corrupted:
        notes.append(
            "mean err.: plain mean of the error rates over corruptions and severities. vs CE: mean over corruptions of the errors divided "
            f"by those of the condition's {BASE_METHOD} trial shown here (this run's own, so 1.00 is as good as that), without those on "
            "which that trial makes none; all corruptions count alike, so it can disagree with the mean error."
        )
    if perturbed:
        notes.append("flips: how often the predicted class changes from frame to frame (noise: from the clean frame), mean over sequences.")
    parts.append(Text("\n".join(notes), style="dim"))
    return Group(*parts)
