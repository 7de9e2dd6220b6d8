"""What each arm of a study cost, and whether the arms may be ranked: methods compared on unequal budgets are not compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from studies.arm_space import searched_settings
from studies.spec import Arm, StudySpec

Row = Mapping[str, Any]  # of table trials

_VIEWS: Final = 8  # passes a step of the costliest method makes over its batch, at most: by so much a budget of images is missed


@dataclass(frozen=True, kw_only=True)
class ArmBudget:
    """What one arm, or its random twin, was given.

    Attributes:
        arm, method, condition, sampler: as in table `trials`.
        n_finished, n_failed, n_stopped: trials of the search, by state.
        epochs: of the search, those of failed and stopped trials too, but not what audited trials trained beyond their stop.
        audit_epochs: that.
        images_seen: pushed through networks by the search, audits included.
        train_seconds: of the search, audits included.
        n_seeds: different training seeds of the search.
        n_searched: settings that were searched.
        n_confirmed: settings that were confirmed.
        n_confirm_finished, n_confirm_failed: their trainings.
    """

    arm: str
    method: str
    condition: str
    sampler: str
    n_finished: int
    n_failed: int
    n_stopped: int
    epochs: int
    audit_epochs: int
    images_seen: int
    train_seconds: float
    n_seeds: int
    n_searched: int
    n_confirmed: int
    n_confirm_finished: int
    n_confirm_failed: int


@dataclass(frozen=True, kw_only=True)
class Budgets:
    """The ledger of budgets.

    Attributes:
        arms: in the order of the study, baselines last.
        equal: whether the methods may be ranked.
        reasons: why not, a sentence each.
    """

    arms: list[ArmBudget]
    equal: bool
    reasons: list[str]


def collect_budgets(trials: Iterable[Row], spec: StudySpec) -> Budgets:
    """What each arm cost, and whether that was the same.

    Arms are equal if they have as many finished trials of as many epochs (with `budget: images`, as many images, but for a step a trial);
    with early stopping, if their epochs differ by no more than one full training. Failed trials were replaced, so they do not count
    without early stopping. Every confirmed setting must have as many trainings, failed ones too. That some methods push more images an
    epoch is told, not held against them; baselines are told too, but not ranked, so they are not looked at here.

    Args:
        trials: all rows of table trials.
        spec: the study.
    """
    rows = list(trials)
    members = {arm.name: [row for row in rows if row["arm"] == arm.name] for arm in spec.arms}
    arms = [_budget(arm, members[arm.name], spec) for arm in spec.arms]
    compared = {arm.name: members[arm.name] for arm in spec.compared_arms}
    reasons = [reason for reason in (*_search_reasons(compared, spec), _confirm_reason(rows)) if reason]
    return Budgets(arms=arms, equal=not reasons, reasons=reasons)


def _budget(arm: Arm, rows: Sequence[Row], spec: StudySpec) -> ArmBudget:
    searched = [row for row in rows if row["phase"] == "search"]
    states = Counter(row["state"] for row in searched)
    confirmed = Counter(row["state"] for row in rows if row["phase"] == "confirm")
    audit_epochs = sum(_beyond_stop(row) for row in searched)
    return ArmBudget(
        arm=arm.name,
        method=arm.method,
        condition=arm.condition.name,
        sampler=arm.sampler,
        n_finished=states["complete"],
        n_failed=states["failed"],
        n_stopped=states["stopped"],
        epochs=sum(row["epochs"] or 0 for row in searched) - audit_epochs,
        audit_epochs=audit_epochs,
        images_seen=sum(row["images_seen"] or 0 for row in searched),
        train_seconds=sum(row["train_seconds"] or 0.0 for row in searched),
        n_seeds=len({row["seed"] for row in searched}),
        n_searched=len(searched_settings(spec, arm.method)),
        n_confirmed=sum(row["chosen_as"] is not None for row in searched),
        n_confirm_finished=confirmed["complete"],
        n_confirm_failed=confirmed["failed"],
    )


def _beyond_stop(row: Row) -> int:
    """Epochs that an audited trial trained after it had been decided against."""
    return row["epochs"] - row["stopped_at"] if row["audited"] else 0


def _search_reasons(arms: Mapping[str, Sequence[Row]], spec: StudySpec) -> list[str]:
    searched = {arm: [row for row in rows if row["phase"] == "search"] for arm, rows in arms.items()}
    complete = {arm: [row for row in rows if row["state"] == "complete"] for arm, rows in searched.items()}
    unit = "images" if spec.budget == "images" else "epochs"
    if spec.stopping.rungs is not None:
        spent = {arm: sum(_cost(row, unit) for row in rows) for arm, rows in searched.items()}
        training = max((_cost(row, unit) for rows in complete.values() for row in rows), default=0)
        return [_differing(f"{unit} of the search", spent, tolerance=training)]
    spent = {arm: sum(_cost(row, unit) for row in rows) for arm, rows in complete.items()}
    n_finished = {arm: len(rows) for arm, rows in complete.items()}
    tolerance = max(n_finished.values(), default=0) * spec.batch_size * _VIEWS if unit == "images" else 0
    fewer = _differing("finished trials", n_finished)
    return [fewer or _differing(f"{unit} of the finished trials", spent, tolerance=tolerance)]


def _cost(row: Row, unit: str) -> float:
    """Epochs, or images, without those of an audit."""
    epochs, images = row["epochs"] or 0, row["images_seen"] or 0
    counted = epochs - _beyond_stop(row)
    return counted if unit == "epochs" else images * counted / max(1, epochs)


def _confirm_reason(rows: Sequence[Row]) -> str:
    trainings = {row["trial_id"]: 0 for row in rows if row["chosen_as"] is not None}
    for row in rows:
        if row["phase"] == "confirm":
            trainings[row["confirms"]] = trainings.get(row["confirms"], 0) + 1
    return _differing("trainings of a confirmed setting", trainings)


def _differing(what: str, values: Mapping[str, float], *, tolerance: float = 0) -> str:
    """A sentence that names those with another value than most, or nothing where all are within `tolerance`."""
    if not values or max(values.values()) - min(values.values()) <= tolerance:
        return ""
    ((usual, n),) = Counter(values.values()).most_common(1)
    others = [f"{name} {value:,.0f}" for name, value in values.items() if value != usual] if n > 1 else []
    named = f"{usual:,.0f}, but {_shortened(others)}" if others else _shortened([f"{name} {value:,.0f}" for name, value in values.items()])
    return f"{what}: {named}"


def _shortened(names: Sequence[str], at_most: int = 6) -> str:
    more = len(names) - at_most
    return ", ".join(names[:at_most]) + (f" and {more} more" if more > 0 else "")


def render_budgets(budgets: Mapping[str, Any]) -> RenderableType:
    """The ledger of budgets as a terminal table, readable at 80 columns.

    Args:
        budgets: `Budgets` as a mapping, as the statistics document holds it.
    """
    arms: Sequence[Mapping[str, Any]] = budgets["arms"]
    failed, stopped, audited, confirmed = (
        any(arm[name] for arm in arms) for name in ("n_failed", "n_stopped", "audit_epochs", "n_confirmed")
    )
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("budgets", ratio=1, overflow="fold", min_width=14)
    titles = ["trials\ndone"] + ["failed"] * failed + ["stop-\nped"] * stopped + ["epochs\n+audit" if audited else "epochs"]
    titles += ["images", "time", "set-\ntings"] + ["confirmed"] * confirmed
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for condition in dict.fromkeys(arm["condition"] for arm in arms):
        table.add_row(Text(condition))
        members = [arm for arm in arms if arm["condition"] == condition]
        for method in dict.fromkeys(arm["method"] for arm in members):
            for arm in (arm for arm in members if arm["method"] == method):
                cells = [f"{arm['n_finished']}"] + [f"{arm['n_failed']}"] * failed + [f"{arm['n_stopped']}"] * stopped
                cells += [_count(arm["epochs"]) + (f" +{_count(arm['audit_epochs'])}" if arm["audit_epochs"] else "")]
                cells += [_thousands(arm["images_seen"]), _duration(arm["train_seconds"]), f"{arm['n_searched']}"]
                cells += [_confirmed(arm)] * confirmed
                table.add_row(Text("    random" if arm["sampler"] == "random" else f"  {method}"), *cells)
    return Group(table, Text(_caption(budgets, stopped=stopped, confirmed=confirmed), style="dim"))


def _confirmed(arm: Mapping[str, Any]) -> str:
    run = arm["n_confirm_finished"] + arm["n_confirm_failed"]
    finished = f"{run}" if not arm["n_confirm_failed"] else f"{arm['n_confirm_finished']}/{run}"
    return f"{finished} ({arm['n_confirmed']})" if arm["n_confirmed"] else "-"


def _count(n: int) -> str:
    """Exact up to four digits."""
    return f"{n}" if n < 10_000 else _thousands(n)


def _thousands(n: float) -> str:
    """Three digits and a letter: 950, 53.2k, 1.41M."""
    for letter in ("", "k", "M"):
        if n < 999.5:
            return f"{n:.3g}{letter}"
        n /= 1000
    return f"{n:.3g}G" if n < 999.5 else f"{n:.0f}G"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


def _caption(budgets: Mapping[str, Any], *, stopped: bool, confirmed: bool) -> str:
    also = "failed and stopped trials" if stopped else "failed trials"
    lines = [f"epochs, images pushed through networks and time of training: of the search, {also} included. settings: searched."]
    if confirmed:
        lines[0] += " confirmed: trainings with fresh seeds (of so many settings)."
    if budgets["equal"]:
        lines.append("Budgets are equal" + (" in epochs, within one full training." if stopped else "."))
    else:
        lines.append("Budgets are NOT equal, so methods are not ranked. " + "; ".join(budgets["reasons"]) + ".")
    return "\n".join(lines)
