"""Which settings mattered for which objective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from studies.report.data_table import Cell, Column, DataTable, interval_columns
from studies.report.infos.objectives import KINDS, titles_by_kind
from studies.report.source import ReportSource
from studies.statistics.importance import CONFIDENCE_LEVEL, MIN_TRIALS

_FEW: Final = 20  # trials; below, the setting that dominates a smooth function comes first in 85 of 100 searches or fewer


@dataclass(frozen=True)
class Share:
    """What one setting explains of one objective in one arm, in [0, 1], with its interval."""

    setting: str
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ArmImportance:
    """One arm.

    Attributes:
        method, condition: of the arm.
        n_trials: finished ones of the search.
        shares: by kind of objective, the largest first; None where nothing can be said.
    """

    method: str
    condition: str
    n_trials: int
    shares: dict[str, list[Share] | None]


@dataclass(frozen=True)
class ImportanceInfo:
    """Importance of all arms.

    Attributes:
        arms: in the order of the study.
        objectives: columns of table trials that chose.
        validation_labels: that judged.
    """

    arms: list[ArmImportance]
    objectives: tuple[str, str]
    validation_labels: str

    @property
    def titles(self) -> dict[str, str]:
        """The objectives by kind, in words."""
        return titles_by_kind(self.objectives)

    @property
    def conditions(self) -> list[str]:
        """Those of which something can be said."""
        return list(dict.fromkeys(arm.condition for arm in self.arms if any(arm.shares.values())))

    def members(self, condition: str, kind: str) -> list[tuple[ArmImportance, list[Share]]]:
        """Arms of a condition of which something can be said."""
        return [(arm, shares) for arm in self.arms if arm.condition == condition and (shares := arm.shares[kind])]

    @property
    def missing(self) -> str | None:
        """Where every arm has too few trials, or searched nothing."""
        if self.conditions:
            return None
        return (
            f"Importance needs at least {MIN_TRIALS} finished trials in an arm, of which not all are equally good, and a setting that was "
            "searched."
        )

    @property
    def caption(self) -> str:
        """What a share is, from how many trials, and how little its interval promises."""
        known = [arm for arm in self.arms if any(arm.shares.values())]
        counts = sorted({arm.n_trials for arm in known})
        n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}" if counts else "no"
        lines = [
            "Share of what all searched settings of an arm explain of an objective: how differently the better half of its trials spreads "
            "over a setting than all of them (PED-ANOVA). Shares of an arm sum to 100 %; they say that a setting matters, not in which "
            "direction.",
            f"n = {n} finished trials an arm, one seed each, by {self.validation_labels} validation labels.",
            f"Bars: {100 * CONFIDENCE_LEVEL:.0f} % bootstrap intervals over trials, which are too narrow: shares whose intervals overlap "
            "are not distinguishable, and those whose intervals do not may still be alike.",
        ]
        if counts and counts[0] < _FEW:
            lines.append(f"With fewer than {_FEW} trials shares are a hint only, and lean towards equal ones.")
        left_out = [f"{arm.method} in {arm.condition}" for arm in self.arms if not any(arm.shares.values())]
        if left_out and known:
            lines.append(f"Nothing can be said of {', '.join(left_out)}: too few finished trials, all alike, or nothing searched.")
        return "\n".join(lines)

    def tables(self) -> list[DataTable]:
        """A row an arm, objective and setting."""
        columns = [
            Column("condition", "condition"),
            Column("method", "method"),
            Column("n_trials", "trials", "whole"),
            Column("objective", "objective"),
            Column("setting", "setting"),
            *interval_columns("share", "share, %", "percent", 0),
        ]
        rows: list[dict[str, Cell]] = []
        for arm in self.arms:
            of_arm: dict[str, Cell] = {"condition": arm.condition, "method": arm.method, "n_trials": arm.n_trials}
            for kind in KINDS:
                for share in arm.shares[kind] or []:
                    numbers: dict[str, Cell] = {"share": share.value, "share_low": share.low, "share_high": share.high}
                    rows.append({**of_arm, "objective": self.titles[kind], "setting": share.setting, **numbers})
        return [DataTable("importance", "Importance of settings by objective", columns, rows)]


def collect_importance(source: ReportSource) -> ImportanceInfo:
    """From the statistics."""
    accuracy, ece = source.spec.targets
    finished = {arm["arm"]: arm["n_finished"] for arm in source.document["budgets"]["arms"] if arm["sampler"] != "random"}
    arms = []
    for name, by_objective in source.document["importance"].items():
        method, _, condition = name.partition("/")
        shares = {kind: _shares(by_objective[objective]) for kind, objective in zip(KINDS, (accuracy, ece), strict=True)}
        arms.append(ArmImportance(method, condition, finished.get(name, 0), shares))
    return ImportanceInfo(arms, (accuracy, ece), source.spec.validation_labels)


def _shares(by_setting: dict[str, dict[str, float | None]] | None) -> list[Share] | None:
    if by_setting is None:
        return None
    known = [Share(name, float(share["value"] or 0), share["low"], share["high"]) for name, share in by_setting.items()]
    return sorted(known, key=lambda share: -share.value)
