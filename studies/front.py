"""What a front shows, computed from the trials table alone; drawing is elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from studies.objectives import objective_titles
from studies.pareto import hypervolume, non_dominated
from studies.screen import percent
from studies.setting_order import in_order

UNEQUAL: Final = "(budgets are unequal: methods are not comparable)"


@dataclass(frozen=True, kw_only=True)
class Point:
    """One finished trial in the plane of the objectives; fractions."""

    trial_id: str
    chosen_by: tuple[float, float]  # the objectives: an accuracy, up, and a calibration error, down
    accuracy: float
    ece: float
    nll: float
    accuracy_other: float  # by the validation labels that did not choose: the true ones if noisy ones chose
    ece_other: float
    corrupted_accuracy: float | None
    corrupted_ece: float | None
    on_front: bool  # of its arm
    on_condition_front: bool  # of all methods in the condition
    settings: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ArmFront:
    """One arm: its finished trials, how many failed or were stopped early, and the area its front dominates from accuracy 0, ECE 1."""

    method: str
    points: list[Point]
    n_failed: int
    hypervolume: float
    n_stopped: int = 0

    @property
    def without_front(self) -> str:
        """Why it has no front: the table of trials knows those that ended."""
        if not self.n_failed and not self.n_stopped:
            return "no trial has ended yet"
        return f"no finished trial, {self.n_failed} failed" + (f", {self.n_stopped} stopped early" if self.n_stopped else "")

    @property
    def front(self) -> list[Point]:
        """Members of the front, most accurate first."""
        return sorted((point for point in self.points if point.on_front), key=lambda point: (-point.chosen_by[0], point.chosen_by[1]))


@dataclass(frozen=True, kw_only=True)
class FrontInfo:
    """All fronts of a run, by condition, in the order the study lists them."""

    study: str
    dataset: str
    model: str
    validation_labels: str
    objectives: tuple[str, str]  # columns of table trials
    n_val: int
    n_shifted: int  # validation images that were corrupted; 0 without corruptions
    n_corruptions: int  # corrupted copies of each: corruptions x severities
    conditions: dict[str, list[ArmFront]]

    @property
    def n_points(self) -> int:
        """Finished trials."""
        return sum(len(arm.points) for arms in self.conditions.values() for arm in arms)

    @property
    def n_failed(self) -> int:
        """Failed trials."""
        return sum(arm.n_failed for arms in self.conditions.values() for arm in arms)


def collect_front(trials: pa.Table, evaluations: pa.Table, *, arms: list[str] | None = None) -> FrontInfo:
    """Fronts of the search phase from a run's tables.

    Args:
        trials, evaluations: as `studies.load` gives them.
        arms: `<method>/<condition>` in the order to show; by default as they come.

    Raises:
        ValueError: the trials table has no row.
    """
    rows = [row for row in trials.to_pylist() if row["phase"] == "search" and row["sampler"] != "random"]
    if not rows:
        raise ValueError("The trials table has no row of phase search.")
    first = rows[0]
    accuracy, ece = first["objectives"].split(", ")
    order = arms or sorted({row["arm"] for row in rows})

    def columns(members: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
        return [row[accuracy] for row in members], [row[ece] for row in members]

    conditions: dict[str, list[ArmFront]] = {}
    for name in order:
        method, _, condition = name.partition("/")
        members = [row for row in rows if row["arm"] == name]
        finished = [row for row in members if row["state"] == "complete"]
        rivals = [row for row in rows if row["condition"] == condition and row["state"] == "complete"]
        best = {row["trial_id"] for row, kept in zip(rivals, non_dominated(*columns(rivals)), strict=True) if kept}
        front = ArmFront(
            method=method,
            points=[_point(row, (row[accuracy], row[ece]), row["trial_id"] in best) for row in finished],
            n_failed=sum(row["state"] == "failed" for row in members),
            n_stopped=sum(row["state"] == "stopped" for row in members),
            hypervolume=hypervolume(*columns(finished)),
        )
        conditions.setdefault(condition, []).append(front)
    columns_shown = (evaluations[name].to_pylist() for name in ("phase", "split", "shift", "trial_id", "n"))  # one pass, no row is made
    shown = [(split, shift, trial_id, n) for phase, split, shift, trial_id, n in zip(*columns_shown, strict=True) if phase == "search"]
    clean = [n for split, shift, _, n in shown if (split, shift) == ("val", "clean")]
    corrupted = [(trial_id, n) for _, shift, trial_id, n in shown if shift == "corruption"]
    return FrontInfo(
        study=first["study"],
        dataset=first["dataset"],
        model=first["model"],
        validation_labels=first["validation_labels"],
        objectives=(accuracy, ece),
        n_val=clean[0] if clean else 0,
        n_shifted=corrupted[0][1] if corrupted else 0,
        n_corruptions=sum(trial_id == corrupted[0][0] for trial_id, _ in corrupted),
        conditions=conditions,
    )


def _point(row: dict[str, Any], chosen_by: tuple[float, float], on_condition_front: bool) -> Point:
    other = "clean" if row["validation_labels"] == "noisy" else "noisy"
    return Point(
        trial_id=row["trial_id"],
        chosen_by=chosen_by,
        accuracy=row["val_accuracy"],
        ece=row["val_ece"],
        nll=row["val_nll"],
        accuracy_other=row[f"val_accuracy_{other}_labels"],
        ece_other=row[f"val_ece_{other}_labels"],
        corrupted_accuracy=row["val_corrupted_accuracy"],
        corrupted_ece=row["val_corrupted_ece"],
        on_front=row["on_front"],
        on_condition_front=on_condition_front,
        settings={name.removeprefix("param_"): value for name, value in row.items() if name.startswith("param_") and value is not None},
    )


def format_settings(settings: dict[str, Any]) -> str:
    """`prior_strength 10, discount 0.9, ...`, three digits, in the order of their search space: the method's own settings first."""
    return ", ".join(f"{name} {value if isinstance(value := settings[name], str) else format(value, '.3g')}" for name in in_order(settings))


def render_front(info: FrontInfo, *, comparable: bool = True) -> RenderableType:
    """The fronts as terminal tables, one a condition, readable at 80 columns.

    Args:
        info: of `collect_front`.
        comparable: whether the searches of the methods had equal budgets; if not, what sets them side by side says so.
    """
    mark = "" if comparable else f" {UNEQUAL}"
    parts: list[RenderableType] = []
    for condition, arms in info.conditions.items():
        parts += [Text(f"condition {condition}", style="bold"), _condition_table(info, condition, arms)]
        parts += [Text("hypervolume: " + ", ".join(f"{arm.method} {arm.hypervolume:.3f}" for arm in arms) + mark), Text()]
    parts.append(Text(_caption(info, mark), style="dim"))
    return Group(*parts)


def _condition_table(info: FrontInfo, condition: str, arms: list[ArmFront]) -> Table:
    judged_twice = condition != "none"
    corrupted = any(point.corrupted_accuracy is not None for arm in arms for point in arm.points)
    other = "true" if info.validation_labels == "noisy" else "noisy"
    titles = (
        ["acc %", "ECE %", "NLL"] + [f"{other}\nacc %", f"{other}\nECE %"] * judged_twice + ["corr.\nacc %", "corr.\nECE %"] * corrupted
    )
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("method, settings", ratio=1, overflow="fold")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for arm in arms:
        if not arm.front:
            table.add_row(Text(f"  {arm.method}: {arm.without_front}"), *["-"] * len(titles))
        for point in arm.front:
            cells = [percent(point.accuracy), percent(point.ece), f"{point.nll:.3f}"]
            cells += [percent(point.accuracy_other), percent(point.ece_other)] * judged_twice
            cells += [percent(point.corrupted_accuracy), percent(point.corrupted_ece)] * corrupted
            name = Text("* " if point.on_condition_front else "  ").append(arm.method, style="bold")
            settings = Padding(Text(format_settings(point.settings), style="dim"), (0, 0, 0, 2))
            table.add_row(Group(name, settings), *cells)
    return table


def _standard_error(accuracies: list[float], n: int) -> float:
    """Points by which the median of `accuracies` spreads, each a share of n independent images."""
    share = sorted(accuracies)[len(accuracies) // 2] if accuracies else 0.5
    share = min(max(share, 1 / n), 1 - 1 / n)
    return 100 * math.sqrt(share * (1 - share) / n)


def _caption(info: FrontInfo, mark: str) -> str:
    lines = [f"Each method's non-dominated trials; * marks those that no method beats in this condition.{mark}"]
    if info.objectives != ("val_accuracy", "val_ece"):
        accuracy, ece = objective_titles(info.objectives)
        lines.append(f"Chosen, and sorted, by {accuracy}; then {ece}.")
    points = [point for arms in info.conditions.values() for arm in arms for point in arm.points]
    if info.n_val:
        error = _standard_error([point.accuracy for point in points], info.n_val)
        lines.append(
            f"n = {info.n_val} validation images, one training a row: an accuracy has a standard error of about {error:.1f} points, so "
            "smaller gaps are noise."
        )
    if info.n_shifted:
        error = _standard_error([point.corrupted_accuracy for point in points if point.corrupted_accuracy is not None], info.n_shifted)
        lines.append(
            f"corr.: means over {info.n_corruptions} corrupted copies of {info.n_shifted} of them; copies of an image are alike, so their "
            f"standard error can be up to {error:.1f} points."
        )
    if any(condition != "none" for condition in info.conditions):
        shown = "by the true ones ('true')" if info.validation_labels == "noisy" else "by labels with the condition's noise ('noisy')"
        lines.append(f"Validation labels that chose: {info.validation_labels}; the same trials {shown} are only reported.")
    if info.n_failed:
        lines.append(f"{info.n_failed} trials failed; their reasons are in the column `error` of trials.parquet.")
    return "\n".join(lines)
