"""The search's finished trials along the axes of their settings and of both objectives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from studies.arm_space import searched_settings
from studies.objectives import objective_titles
from studies.report.data_table import Cell, Column, DataTable
from studies.report.source import ReportSource, Row

AT_MOST: Final = 8  # methods with a chart
Value = float | str | None


@dataclass(frozen=True)
class Axis:
    """One axis, drawn from 0 to 1.

    Attributes:
        name: of a setting, or of a column of objectives.
        title: with the unit.
        marks: places in [0, 1] and what stands there: both ends, or every choice.
        log: whether equal ratios are equally far apart.
    """

    name: str
    title: str
    marks: tuple[tuple[float, str], ...]
    log: bool = False


@dataclass(frozen=True)
class Line:
    """One trial.

    Attributes:
        trial_id, condition: of it.
        on_front: of its arm.
        places: on each axis, in [0, 1]; None where it has no value.
        texts: the values as people read them.
        values: of settings, by name.
        objectives: accuracy and calibration error, fractions.
    """

    trial_id: str
    condition: str
    on_front: bool
    places: tuple[float | None, ...]
    texts: tuple[str, ...]
    values: dict[str, Value]
    objectives: tuple[float, float]


@dataclass(frozen=True)
class MethodLines:
    """All finished trials of one method, of all conditions on the same axes."""

    method: str
    axes: list[Axis]
    lines: list[Line]


@dataclass(frozen=True)
class ParallelInfo:
    """Trials by method.

    Attributes:
        methods: with a finished trial, in the order of the study.
        objectives: columns that chose.
        validation_labels: that judged.
    """

    methods: list[MethodLines]
    objectives: tuple[str, str]
    validation_labels: str

    @property
    def shown(self) -> list[MethodLines]:
        """Methods with a chart."""
        return self.methods[:AT_MOST]

    @property
    def missing(self) -> str | None:
        """Without a finished trial."""
        return None if self.methods else "No trial of the search has finished yet."

    @property
    def caption(self) -> str:
        """What a line and an axis are, and what is left out."""
        n = sum(len(method.lines) for method in self.methods)
        lines = [
            f"Each line is one of {n} finished trials of the search, trained once, by {self.validation_labels} validation labels; no "
            "intervals. In colour: the fronts of the arms; grey: the other trials.",
            "Axes of settings run over what was searched, and tried besides, logarithmic where the search was; on the last two up is "
            "better. Lines show where good trials lie, not what a setting does: the sampler tried more where it found good ones.",
        ]
        if len(self.methods) > AT_MOST:
            lines.append(f"The first {AT_MOST} methods of {len(self.methods)} are drawn; the table has all.")
        return "\n".join(lines)

    def tables(self) -> list[DataTable]:
        """A row a trial, a column a setting of any method."""
        lines = [(method.method, line) for method in self.methods for line in method.lines]
        names = list(dict.fromkeys(name for _, line in lines for name in line.values))
        titles = objective_titles(self.objectives)
        columns = [
            Column("condition", "condition"),
            Column("method", "method"),
            Column("trial_id", "trial"),
            Column("on_front", "on the front"),
            *(Column(name, f"{title}, %", "percent") for name, title in zip(("accuracy", "ece"), titles, strict=True)),
            *(_column(name, [line.values.get(name) for _, line in lines]) for name in names),
        ]
        rows: list[dict[str, Cell]] = []
        for method, line in lines:
            accuracy, ece = line.objectives
            row: dict[str, Cell] = {"condition": line.condition, "method": method, "trial_id": line.trial_id}
            row |= {"on_front": "yes" if line.on_front else "no", "accuracy": accuracy, "ece": ece}
            rows.append(row | {f"param_{name}": value for name, value in line.values.items()})
        return [DataTable("parallel", "Finished trials of the search with their settings", columns, rows)]


def _column(name: str, values: Sequence[Value]) -> Column:
    title = name.replace("_", " ")
    if any(isinstance(value, str) for value in values):
        return Column(f"param_{name}", title)
    return Column(f"param_{name}", title, "number", significant=3)


def collect_parallel(source: ReportSource) -> ParallelInfo:
    """From table trials and the study's search spaces."""
    accuracy, ece = source.spec.targets
    finished = [row for row in source.searched if row["state"] == "complete" and row[accuracy] is not None and row[ece] is not None]
    methods = []
    for method in source.methods:
        own = [row for row in finished if row["method"] == method]
        if own:
            methods.append(_method_lines(source, method, own))
    return ParallelInfo(methods, (accuracy, ece), source.spec.validation_labels)


def _method_lines(source: ReportSource, method: str, rows: list[Row]) -> MethodLines:
    names = [name for name in searched_settings(source.spec, method) if any(row.get(f"param_{name}") is not None for row in rows)]
    settings = [{name: _plain(row.get(f"param_{name}")) for name in names} for row in rows]
    columns: list[tuple[Axis, list[float | None], list[str]]] = []
    for name, space in searched_settings(source.spec, method).items():
        if name in names:
            columns.append(_setting_axis(name, space, [values[name] for values in settings]))
    titles = objective_titles(source.spec.targets)
    for target, title, sign in zip(source.spec.targets, titles, (1, -1), strict=True):
        short = title.replace("expected calibration error", "ECE")
        columns.append(_objective_axis(target, f"{short}, %", [row[target] for row in rows], sign))
    lines = []
    for index, (row, values) in enumerate(zip(rows, settings, strict=True)):
        places, texts = tuple(found[index] for _, found, _ in columns), tuple(found[index] for *_, found in columns)
        accuracy, ece = (row[target] for target in source.spec.targets)
        lines.append(Line(row["trial_id"], row["condition"], bool(row["on_front"]), places, texts, values, (accuracy, ece)))
    return MethodLines(method, [axis for axis, *_ in columns], lines)


def _plain(value: Any) -> Value:
    """A setting as it is, but that NaN and infinity are none."""
    if isinstance(value, str):
        return value
    return float(value) if value is not None and math.isfinite(value) else None


def _setting_axis(name: str, space: Any, values: list[Value]) -> tuple[Axis, list[float | None], list[str]]:
    """An axis over what a setting was searched in and what was tried besides, with places and texts of the values."""
    texts = [value if isinstance(value, str) else "none" if value is None else f"{value:.3g}" for value in values]
    numbers = [value for value in values if isinstance(value, float)]
    if hasattr(space, "choices") or len(numbers) < sum(value is not None for value in values):
        choices = list(dict.fromkeys([*(_text(choice) for choice in getattr(space, "choices", ())), *(t for t in texts if t != "none")]))
        at = {choice: _share(index, 0, len(choices) - 1) for index, choice in enumerate(choices)}
        return Axis(name, name.replace("_", " "), tuple((place, choice) for choice, place in at.items())), [at.get(t) for t in texts], texts
    low, high = min([space.low, *numbers]), max([space.high, *numbers])
    log = bool(space.log) and low > 0
    places = [None if value is None else _place(float(value), low, high, log=log) for value in values]
    return Axis(name, name.replace("_", " "), ((0.0, f"{low:.3g}"), (1.0, f"{high:.3g}")), log), places, texts


def _text(choice: Any) -> str:
    return choice if isinstance(choice, str) else f"{choice:.3g}"


def _objective_axis(name: str, title: str, values: list[float], sign: int) -> tuple[Axis, list[float | None], list[str]]:
    """An axis from the worst value to the best, which is above."""
    low, high = min(values), max(values)
    worst, best = (low, high) if sign > 0 else (high, low)
    places: list[float | None] = [_share(value, worst, best) for value in values]
    marks = ((0.0, f"{100 * worst:.1f}"), (1.0, f"{100 * best:.1f}")) if worst != best else ((0.5, f"{100 * worst:.1f}"),)
    return Axis(name, title, marks), places, [f"{100 * value:.1f} %" for value in values]


def _place(value: float, low: float, high: float, *, log: bool) -> float:
    return _share(math.log(value), math.log(low), math.log(high)) if log else _share(value, low, high)


def _share(value: float, low: float, high: float) -> float:
    return 0.5 if high == low else (value - low) / (high - low)
