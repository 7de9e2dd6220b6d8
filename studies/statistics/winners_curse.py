"""Winner's curse: how much of a chosen trial's validation value was luck of its one training.

The best of many noisy values is better than its setting deserves. Fresh seeds of the same setting (and fresh noise, where
the study says so), looked at on the same validation images, show by how much; the test split also shows what choosing by these images cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from studies.statistics.seeds import SeedSummary, summarise

Row = Mapping[str, Any]  # of table trials
Metric = Literal["val_accuracy", "val_ece", "test_accuracy", "test_ece"]
METRICS: Final[tuple[Metric, ...]] = ("val_accuracy", "val_ece", "test_accuracy", "test_ece")


@dataclass(frozen=True, kw_only=True)
class Gap:
    """One metric of one chosen trial, at search time and confirmed; fractions.

    Attributes:
        searched: of the search trial, on validation images; None where nothing comparable was measured.
        confirmed: mean over its confirm replicates; None without one.
        shrinkage: by how much the search was too optimistic: positive if the confirmed value is worse.
    """

    searched: float | None
    confirmed: float | None
    shrinkage: float | None


@dataclass(frozen=True, kw_only=True)
class ChosenPoint:
    """One search trial that was chosen for confirmation.

    Attributes:
        roles: as in column `chosen_as`.
        n_replicates: its confirm trainings that completed.
        gaps: by metric, one of `METRICS`.
    """

    trial_id: str
    arm: str
    roles: str
    n_replicates: int
    gaps: dict[Metric, Gap]


@dataclass(frozen=True, kw_only=True)
class WinnersCurse:
    """Chosen points and how much they shrink.

    Attributes:
        points: in the order of the search rows.
        mean_shrinkage: by metric, over points (n counts these, n_missing those without a value). The interval takes points as independent;
            points that share validation images are not, so it is too narrow rather than too wide.
    """

    points: list[ChosenPoint]
    mean_shrinkage: dict[Metric, SeedSummary]


def collect_winners_curse(search_rows: Iterable[Row], confirm_rows: Iterable[Row]) -> WinnersCurse:
    """Search-time values of the chosen trials against their confirmed ones, in the study's two objectives.

    The test split is judged by true labels. Where noisy validation labels chose, it is therefore compared with the search's value by the
    true validation labels, and with nothing where the objective (of corrupted images) has none.

    Args:
        search_rows: of phase search; those with `chosen_as` count.
        confirm_rows: of phase confirm; complete ones count. Their val_* are null where they trained on the validation images too.
    """
    replicates: dict[str, list[Row]] = {}
    for row in confirm_rows:
        if row["state"] == "complete":
            replicates.setdefault(row["confirms"], []).append(row)
    points = [
        ChosenPoint(
            trial_id=row["trial_id"],
            arm=row["arm"],
            roles=row["chosen_as"],
            n_replicates=len(replicates.get(row["trial_id"], [])),
            gaps=_gaps(row, replicates.get(row["trial_id"], [])),
        )
        for row in search_rows
        if row["chosen_as"]
    ]
    return WinnersCurse(
        points=points,
        mean_shrinkage={metric: summarise(point.gaps[metric].shrinkage for point in points) for metric in METRICS},
    )


def _gaps(row: Row, replicates: list[Row]) -> dict[Metric, Gap]:
    accuracy, ece = row["objectives"].split(", ")
    return {
        "val_accuracy": _gap(row.get(accuracy), _mean(replicates, accuracy), sign=1),
        "val_ece": _gap(row.get(ece), _mean(replicates, ece), sign=-1),
        "test_accuracy": _gap(_by_true_labels(row, accuracy), _mean(replicates, _on_test(accuracy)), sign=1),
        "test_ece": _gap(_by_true_labels(row, ece), _mean(replicates, _on_test(ece)), sign=-1),
    }


def _gap(searched: float | None, confirmed: float | None, *, sign: int) -> Gap:
    shrinkage = None if searched is None or confirmed is None else sign * (searched - confirmed)
    return Gap(searched=searched, confirmed=confirmed, shrinkage=shrinkage)


def _mean(rows: list[Row], column: str) -> float | None:
    return summarise(row.get(column) for row in rows).mean


def _on_test(column: str) -> str:
    return column.replace("val_", "test_", 1)


def _by_true_labels(row: Row, column: str) -> float | None:
    value: float | None = row.get(column if row["validation_labels"] == "clean" else f"{column}_clean_labels")
    return value
