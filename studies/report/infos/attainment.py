"""What shares of the seeds reach: attainment surfaces of each method's confirmed settings together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from studies.objectives import short_titles
from studies.report.data_table import Cell, Column, DataTable, interval_columns
from studies.report.infos.plane_view import View
from studies.report.source import Numbers, ReportSource

Corner = tuple[float, float]  # (accuracy, ECE), as in `attainment`
Line = tuple[list[float], list[float]]  # ECEs and accuracies of a path

SHARES = (25, 50, 75)  # percent of the seeds


@dataclass(frozen=True, kw_only=True)
class Surfaces:
    """The surfaces of one method in one condition.

    Attributes:
        method: its name.
        corners: by percentage of seeds, the corners of a staircase; none where too few seeds reach anything.
        hypervolume: `SeedSummary` over seeds, as seen from accuracy 0 and ECE 1.
        n_settings: confirmed settings that a seed's front is made of.
    """

    method: str
    corners: Mapping[int, Sequence[Corner]]
    hypervolume: Numbers
    n_settings: int


@dataclass(frozen=True, kw_only=True)
class AttainmentInfo:
    """Attainment surfaces.

    Attributes:
        conditions: by condition with a surface, those of its methods.
        views: by condition, the axes that show all corners.
        objectives: columns of test values.
        n_test: test images.
        comparable: whether methods had equal budgets.
        why_none: what to say where there is no surface.
    """

    conditions: Mapping[str, Sequence[Surfaces]]
    views: Mapping[str, View]
    objectives: tuple[str, str]
    n_test: int | None
    comparable: bool
    why_none: str

    @property
    def missing(self) -> str | None:
        """Where nothing was confirmed."""
        return None if self.views else self.why_none

    @property
    def axis_titles(self) -> tuple[str, str]:
        """Of accuracy and ECE."""
        accuracy, ece = short_titles(self.objectives)
        return f"{accuracy} on test, %", f"{ece} on test, %"

    @property
    def caption(self) -> str:
        """How to read lines and bands, and what they rest on."""
        if not self.conditions:
            return ""
        members = [surfaces for found in self.conditions.values() for surfaces in found]
        seeds = sorted({surfaces.hypervolume["n"] for surfaces in members})
        n = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        lines = [
            "Line: what at least half of the fresh seeds reach with the confirmed settings of a method together; band: between what 25 % "
            f"and 75 % of them reach. {n} fresh seed{'' if n == '1' else 's'}, {self.n_test} test images with true labels.",
            "Where the lines of two methods cross, neither is better everywhere.",
            "A band shows the spread of seeds; it is no interval and no test.",
            "Hypervolume in the table: mean over seeds with 95 % interval (Student's t), as seen from accuracy 0 and ECE 1.",
        ]
        if seeds == [1]:
            lines.append("With one seed all surfaces are the same: confirm with more.")
        if not self.comparable:
            lines.append("Budgets are unequal: methods are not comparable.")
        return "\n".join(lines)

    def tables(self) -> list[DataTable]:
        """The corners, and hypervolume over seeds."""
        accuracy, ece = short_titles(self.objectives)
        names = (Column("condition", "condition"), Column("method", "method"))
        rows = [(condition, surfaces) for condition, found in self.conditions.items() for surfaces in found]
        corners: list[Mapping[str, Cell]] = [
            {"condition": condition, "method": surfaces.method, "share": share / 100, **dict(zip(self.objectives, corner, strict=True))}
            for condition, surfaces in rows
            for share in SHARES
            for corner in surfaces.corners[share]
        ]
        volumes = [
            {"condition": condition, "method": surfaces.method, "n_settings": surfaces.n_settings, "n_seeds": surfaces.hypervolume["n"]}
            | {"hypervolume": surfaces.hypervolume["mean"]}
            | {f"hypervolume_{end}": surfaces.hypervolume[end] for end in ("low", "high")}
            for condition, surfaces in rows
        ]
        return [
            DataTable(
                "hypervolume",
                "Hypervolume of the confirmed settings, over fresh seeds",
                (
                    *names,
                    *interval_columns("hypervolume", "hypervolume", "number", 3),
                    Column("n_settings", "settings", "whole"),
                    Column("n_seeds", "seeds", "whole"),
                ),
                volumes,
            ),
            DataTable(
                "attainment",
                "Corners of the attainment surfaces",
                (
                    *names,
                    Column("share", "share of seeds, %", "percent", digits=0),
                    Column(self.objectives[0], f"{accuracy}, %", "percent"),
                    Column(self.objectives[1], f"{ece}, %", "percent"),
                ),
                corners,
            ),
        ]


def collect_attainment(source: ReportSource) -> AttainmentInfo:
    """From the statistics document."""
    fronts = source.document["fronts"]["confirmed"]
    conditions: dict[str, list[Surfaces]] = {}
    for arm in source.spec.compared_arms:
        if (front := fronts.get(arm.name)) is not None and any(front["attainment"].values()):
            conditions.setdefault(arm.condition.name, []).append(_surfaces(arm.method, front))
    views = {
        condition: _view(corner for surfaces in found for corners in surfaces.corners.values() for corner in corners)
        for condition, found in conditions.items()
    }
    first, second = (name.replace("val_", "test_", 1) for name in source.spec.targets)
    return AttainmentInfo(
        conditions=conditions,
        views=views,
        objectives=(first, second),
        n_test=source.document["setup"]["n_test"],
        comparable=source.document["budgets"]["equal"],
        why_none=_why_none(source),
    )


def _why_none(source: ReportSource) -> str:
    if source.confirming:
        return "No setting has a replicate of which all confirming trainings ended and one finished, so nothing is reached yet."
    if source.spec.confirm is None:
        return "Attainment surfaces need trainings with fresh seeds on test images; the study asks for none (`confirm: none`)."
    return "Attainment surfaces need trainings with fresh seeds on test images; none has ended yet."


def _surfaces(method: str, front: Numbers) -> Surfaces:
    corners = {share: [(accuracy, ece) for accuracy, ece in front["attainment"][str(share)]] for share in SHARES}
    return Surfaces(method=method, corners=corners, hypervolume=front["hypervolume"], n_settings=front["n_settings"])


def _view(corners: Iterable[Corner]) -> View:
    """All corners, with room for the staircases to go on to the right and downwards."""
    accuracies, eces = zip(*corners, strict=True)
    room_x, room_y = (0.15 * (max(values) - min(values)) + 0.01 for values in (eces, accuracies))
    return View((max(-0.003, min(eces) - room_x), max(eces) + room_x), (min(accuracies) - room_y, min(1.006, max(accuracies) + room_y)), 0)


def staircase(corners: Sequence[Corner], view: View) -> Line:
    """The edge of what is reached, from the lower end of the axes to their right end.

    What is reached lies below and to the right of it: at lower accuracy and higher ECE than a corner.

    Args:
        corners: in any order, none beating another.
        view: the axes.

    Returns:
        ECEs and accuracies of its vertices, by ECE; the lower right end of the axes alone where nothing is reached.
    """
    (_, right), (bottom, _) = view.ece, view.accuracy
    x, y, height = [], [], bottom
    for accuracy, ece in sorted(corners, key=lambda corner: (corner[1], corner[0])):
        x += [ece, ece]
        y += [height, accuracy]
        height = accuracy
    return [*x, right], [*y, height]


def band(lower: Sequence[Corner], upper: Sequence[Corner], view: View) -> Line:
    """The closed outline of what lies between two surfaces.

    Args:
        lower: reached by many seeds.
        upper: reached by few.
        view: the axes.

    Returns:
        ECEs and accuracies of its vertices.
    """
    (x, y), (back_x, back_y) = staircase(upper, view), staircase(lower, view)
    corner_x, corner_y = [view.ece[1]], [view.accuracy[0]]
    return x + back_x[::-1] + ([] if lower else corner_x), y + back_y[::-1] + ([] if lower else corner_y)
