"""The plane of accuracy and ECE: what was searched by validation values, and what was confirmed by test values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.front import FrontInfo, format_settings
from studies.objectives import objective_titles, short_titles
from studies.remote_folder import RemoteFolder
from studies.report.data_table import Column, DataTable, interval_columns
from studies.report.infos.marks import Mark, MethodPlane, marks_of
from studies.report.infos.plane_view import View, view_of
from studies.report.recommended import retrain_command
from studies.report.source import Numbers, ReportSource


@dataclass(frozen=True, kw_only=True)
class PlaneInfo:
    """Accuracy against ECE.

    Attributes:
        front: of the search; None where it has no row.
        conditions: methods by condition, in the order of the study.
        views: by condition with a point, the axes that show all fronts and confirmed settings whole.
        objectives: columns of validation values.
        n_test: test images; None where nothing was measured on them.
        train_on: what confirming trainings saw.
        comparable: whether the searches had equal budgets.
        command: retrains a trial, by its id.
    """

    front: FrontInfo | None
    conditions: Mapping[str, Sequence[MethodPlane]]
    views: Mapping[str, View]
    objectives: tuple[str, str]
    n_test: int | None
    train_on: str | None
    comparable: bool
    command: Callable[[str], str]

    @property
    def missing(self) -> str | None:
        """Where no trial has finished."""
        if self.front is None:
            return "No trial of the search has ended yet: the front appears with the first that finishes."
        if not self.front.n_points:
            return f"No trial of the search finished ({self.front.n_failed} failed; the reasons are under Failures), so there is no front."
        return None

    @property
    def axis_titles(self) -> tuple[str, str]:
        """Of accuracy and ECE, in words."""
        accuracy, ece = objective_titles(self.objectives)
        return f"{accuracy}, % (higher is better)", f"{ece}, % (lower is better)"

    @property
    def marks(self) -> list[Mark]:
        """All confirmed settings that are shown."""
        return [mark for members in self.conditions.values() for member in members for mark in member.marks]

    @property
    def caption(self) -> str:
        """What small and large points are, and what they rest on."""
        if self.front is None:
            return ""
        images = f"{self.front.n_val} validation images with {self.front.validation_labels} labels"
        lines = [f"Faint: {_counted(self.front.n_points)} of the search, one training each, by {images}; steps: each method's front."]
        if "corrupted" in "".join(self.objectives) and self.front.n_shifted:
            lines.append(f"On corrupted images: means over {self.front.n_corruptions} corrupted copies of {self.front.n_shifted} of them.")
        lines += self._of_marks()
        for condition, view in self.views.items():
            if view.n_outside:
                lines.append(
                    f"{condition}: {view.n_outside} trial{'s' if view.n_outside > 1 else ''} far behind lie outside the first view."
                )
        if not self.comparable:
            lines.append("Budgets of the searches are unequal: methods are not comparable.")
        if self.front.n_failed:
            lines.append(f"Not shown: {_counted(self.front.n_failed, 'failed')}.")
        return "\n".join(lines)

    def _of_marks(self) -> list[str]:
        marks = self.marks
        if not marks:
            return ["Nothing is confirmed on test images: the best of many validation values looks better than it is."]
        seeds = sorted({mark.n_finished for mark in marks})
        n = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        lines = [
            f"Large: confirmed settings by {self.n_test} test images with true labels, means over {n} fresh seed{'' if n == '1' else 's'}, "
            f"trained on {self.train_on}."
        ]
        if any(mark.accuracy["low"] is not None for mark in marks):
            lines.append("Bars: 95 % intervals (Student's t) of the mean over fresh seeds, on these images.")
        else:
            lines.append("One seed has no interval over seeds.")
        if any(not mark.on_front for mark in marks):
            lines.append("Hollow: chosen by validation values, but on test no longer on the front of its method's confirmed settings.")
        if n_failed := sum(mark.n_failed for mark in marks):
            lines.append(f"{n_failed} of these trainings failed and are left out of the means, which therefore flatter.")
        return lines

    def tables(self) -> list[DataTable]:
        """Confirmed settings, where there are any, and the search's fronts."""
        accuracy, ece = short_titles(self.objectives)
        tested = tuple(name.replace("val_", "test_", 1) for name in self.objectives)
        confirmed = DataTable(
            "front_confirmed",
            "Confirmed settings by test values, with 95 % intervals over fresh seeds",
            (
                *_NAMES,
                Column("roles", "chosen as"),
                *interval_columns(tested[0], f"{accuracy}, %", "percent"),
                *interval_columns(tested[1], f"{ece}, %", "percent"),
                Column("test_nll", "NLL", "number", digits=3),
                Column("n_seeds", "seeds", "whole"),
                Column("on_front", "on the front"),
                Column("settings", "settings"),
            ),
            [self._mark_row(condition, member, mark, tested) for condition, member, mark in self._walk(lambda member: member.marks)],
        )
        searched = DataTable(
            "front_search",
            "Fronts of the search by validation values",
            (
                *_NAMES,
                Column(self.objectives[0], f"{accuracy}, %", "percent"),
                Column(self.objectives[1], f"{ece}, %", "percent"),
                Column("val_nll", "NLL", "number", digits=3),
                Column("settings", "settings"),
            ),
            [
                {"condition": condition, "method": member.method, "trial_id": point.trial_id, "settings": format_settings(point.settings)}
                | dict(zip(self.objectives, point.chosen_by, strict=True))
                | {"val_nll": point.nll, "command": self.command(point.trial_id)}
                for condition, member, point in self._walk(lambda member: member.front)
            ],
        )
        return [confirmed, searched] if confirmed.rows else [searched]

    def _walk(self, members: Callable[[MethodPlane], Sequence[Any]]) -> list[tuple[str, MethodPlane, Any]]:
        return [
            (condition, method, point) for condition, methods in self.conditions.items() for method in methods for point in members(method)
        ]

    def _mark_row(self, condition: str, member: MethodPlane, mark: Mark, columns: tuple[str, ...]) -> dict[str, Any]:
        row: dict[str, Any] = {
            "condition": condition,
            "method": member.method,
            "trial_id": mark.trial_id,
            "roles": ", ".join(mark.roles),
            "settings": format_settings(mark.settings),
            "test_nll": mark.nll,
            "n_seeds": mark.n_finished,
            "on_front": "yes" if mark.on_front else "no",
            "command": self.command(mark.trial_id),
        }
        for name, summary in zip(columns, (mark.accuracy, mark.ece), strict=True):
            row |= {name: summary["mean"], f"{name}_low": summary["low"], f"{name}_high": summary["high"]}
        return row


_NAMES = (
    Column("condition", "condition"),
    Column("method", "method"),
    Column("trial_id", "trial"),
    Column("command", "retrain", "command"),
)


def _counted(n: int, how: str = "finished") -> str:
    return f"{n} {how} trial{'' if n == 1 else 's'}"


def collect_plane(source: ReportSource) -> PlaneInfo:
    """From the tables and the statistics."""
    return plane_of(source.front, source.document, source.place)


def plane_of(front: FrontInfo | None, document: Numbers, place: Path | RemoteFolder) -> PlaneInfo:
    """From the fronts of the search and the statistics.

    Args:
        front: of `collect_front`; None without a row.
        document: of `collect_statistics`.
        place: of the run, for commands.
    """
    first, second = document["fronts"]["objectives"]
    objectives = (first, second)
    conditions = {
        condition: [
            MethodPlane(method=arm.method, searched=arm.points, marks=marks_of(document, condition, arm.method, objectives)) for arm in arms
        ]
        for condition, arms in (front.conditions if front else {}).items()
    }
    places = {
        condition: (
            [point.chosen_by for member in members for point in member.searched],
            [point.chosen_by for member in members for point in member.front]
            + [place for member in members for mark in member.marks for place in (mark.place, *mark.corners)],
        )
        for condition, members in conditions.items()
    }
    return PlaneInfo(
        front=front,
        conditions=conditions,
        views={condition: view_of(every, whole) for condition, (every, whole) in places.items() if every or whole},
        objectives=objectives,
        n_test=document["setup"]["n_test"],
        train_on=document["setup"]["train_on"],
        comparable=document["budgets"]["search_equal"],
        command=lambda trial_id: retrain_command(place, trial_id),
    )
