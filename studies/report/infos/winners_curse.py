"""How much of what the search promised of the chosen settings was luck."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from studies.report.data_table import Cell, Column, DataTable, interval_columns
from studies.report.infos.objectives import KINDS, titles_by_kind
from studies.report.source import Numbers, ReportSource

SPLITS: Final = {"val": "same images", "test": "test images"}  # what confirmed values are of
_MANY: Final = ("val_accuracy", "val_ece", "test_accuracy", "test_ece")


@dataclass(frozen=True)
class CurseInfo:
    """Chosen settings at search time and with fresh seeds; fractions.

    Attributes:
        curse: `WinnersCurse` of the statistics document.
        objectives: columns of table trials that chose.
        validation_labels: that judged in the search.
        setup: of the statistics document.
    """

    curse: Numbers
    objectives: tuple[str, str]
    validation_labels: str
    setup: Numbers

    @property
    def points(self) -> list[Numbers]:
        """Chosen settings that have a value to compare."""
        return [point for point in self.curse["points"] if any(gap["shrinkage"] is not None for gap in point["gaps"].values())]

    @property
    def titles(self) -> dict[str, str]:
        """The objectives by kind, in words."""
        return titles_by_kind(self.objectives)

    @property
    def conditions(self) -> list[str]:
        """Those with a point."""
        return list(dict.fromkeys(condition_of(point) for point in self.points))

    @property
    def missing(self) -> str | None:
        """Where nothing was confirmed."""
        if self.points:
            return None
        alone = "so the search's values stand alone: expect them to be too good."
        if not self.curse["points"]:
            return f"Nothing was chosen for confirmation, {alone}"
        return f"No chosen setting has a finished training with a fresh seed, {alone}"

    @property
    def caption(self) -> str:
        """By how much the search was too optimistic, of how many settings, and what the intervals are."""
        seeds = sorted({point["n_replicates"] for point in self.points if point["n_replicates"]})
        n_seeds = f"{seeds[0]}" if seeds[:1] == seeds[-1:] and seeds else f"{seeds[0]} to {seeds[-1]}" if seeds else "no"
        lines = [self._verdict(kind) for kind in KINDS]
        lines.append(
            f"{len(self.points)} chosen settings; search: one training each, by {self.validation_labels} validation labels; confirmed: "
            f"mean of {n_seeds} fresh seed{'' if seeds == [1] else 's'}, on the same validation images and on "
            f"{self.setup['n_test'] or 'no'} test images by their true labels."
        )
        if self.setup["train_on"] == "train+val":
            lines.append("Confirming trainings also saw the validation images, so the same images cannot be compared.")
        if self.validation_labels == "noisy":
            lines.append("Test values are compared with the search's values by true labels, which did not choose.")
        lines.append(
            "95 % intervals (Student's t) over settings, taken as independent; they share validation images, so the intervals are rather "
            "too narrow. The best of many noisy values is better than its setting deserves."
        )
        return "\n".join(lines)

    def _verdict(self, kind: str) -> str:
        """Of one objective on test images, or on the same images where those were not compared."""
        split = next((split for split in ("test", "val") if self.curse["mean_shrinkage"][f"{split}_{kind}"]["n"]), None)
        title = self.titles[kind]
        if split is None:
            return f"In {title} nothing comparable was measured."
        mean = self.curse["mean_shrinkage"][f"{split}_{kind}"]
        value, where = f"{100 * mean['mean']:+.1f} points", f"in {title} on {'test' if split == 'test' else 'the same'} images"
        if mean["low"] is None:
            return f"The search was too optimistic by {value} {where}, of one setting alone: no interval."
        interval = f"[{100 * mean['low']:+.1f}, {100 * mean['high']:+.1f}]"
        if mean["low"] > 0:
            return f"The search was too optimistic by {value} {interval} {where}."
        if mean["high"] < 0:
            return f"The search was too pessimistic {where}: shrinkage {value} {interval}."
        return f"The mean shrinkage {where}, {value} {interval}, is not distinguishable from none."

    def tables(self) -> list[DataTable]:
        """Means over settings, then a row a setting."""
        return [self._means(), self._settings()]

    def _means(self) -> DataTable:
        columns = [
            Column("objective", "objective"),
            Column("images", "confirmed on"),
            *interval_columns("shrinkage", "too optimistic by, points", "points"),
            Column("n", "settings", "whole"),
        ]
        rows: list[dict[str, Cell]] = []
        for kind in KINDS:
            for split, images in SPLITS.items():
                mean = self.curse["mean_shrinkage"][f"{split}_{kind}"]
                numbers = {"shrinkage": mean["mean"], "shrinkage_low": mean["low"], "shrinkage_high": mean["high"], "n": mean["n"]}
                rows.append({"objective": self.titles[kind], "images": images, **numbers})
        return DataTable("winners_curse_means", "Mean shrinkage of the chosen settings", columns, rows)

    def _settings(self) -> DataTable:
        columns = [Column("condition", "condition"), Column("method", "method"), Column("trial_id", "trial"), Column("roles", "chosen as")]
        columns.append(Column("n_seeds", "seeds", "whole"))
        for metric in _MANY:
            split, _, kind = metric.partition("_")
            title = f"{self.titles[kind]}, {SPLITS[split]}"
            columns += [
                Column(f"{metric}_searched", f"{title}: search, %", "percent"),
                Column(f"{metric}_confirmed", f"{title}: confirmed, %", "percent"),
                Column(f"{metric}_shrinkage", f"{title}: too optimistic by, points", "points"),
            ]
        rows = []
        for point in self.points:
            row: dict[str, Cell] = {"condition": condition_of(point), "method": method_of(point), "trial_id": point["trial_id"]}
            row |= {"roles": point["roles"], "n_seeds": point["n_replicates"]}
            for metric in _MANY:
                row |= {f"{metric}_{name}": point["gaps"][metric][name] for name in ("searched", "confirmed", "shrinkage")}
            rows.append(row)
        return DataTable("winners_curse", "Chosen settings in the search and confirmed", columns, rows)


def condition_of(point: Numbers) -> str:
    """Of a chosen setting."""
    return str(point["arm"].partition("/")[2])


def method_of(point: Numbers) -> str:
    """Of a chosen setting."""
    return str(point["arm"].partition("/")[0])


def collect_winners_curse_info(source: ReportSource) -> CurseInfo:
    """From the statistics."""
    document = source.document
    accuracy, ece = source.spec.targets
    return CurseInfo(document["winners_curse"], (accuracy, ece), source.spec.validation_labels, document["setup"])
