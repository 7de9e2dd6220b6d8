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
    from studies.search import ArmSpace  # it brings Optuna and the methods

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
        n_searched=len(ArmSpace.of(spec, arm.method).searched),
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
    stopped, audited = (any(arm[name] for arm in arms) for name in ("n_stopped", "audit_epochs"))
    confirmed = any(arm["n_confirmed"] for arm in arms)
    columns = {"finished\ntrials": "n_finished", "failed": "n_failed"} | ({"stopped": "n_stopped"} if stopped else {})
    columns |= {"epochs": "epochs"} | ({"audit\nepochs": "audit_epochs"} if audited else {})
    columns |= {"images\n(1000s)": "images_seen", "s": "train_seconds", "set-\ntings": "n_searched"}
    columns |= {"con-\nfirmed": "n_confirmed", "train-\nings": "n_confirm_finished"} if confirmed else {}
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("method", ratio=1, overflow="fold")
    for title in columns:
        table.add_column(title, justify="right", no_wrap=True)
    for condition in dict.fromkeys(arm["condition"] for arm in arms):
        table.add_row(Text(f"condition {condition}"))
        for arm in arms:
            if arm["condition"] == condition:
                name = arm["method"] + (", random" if arm["sampler"] == "random" else "")
                table.add_row(Text(f"  {name}"), *(_cell(arm, column) for column in columns.values()))
    return Group(table, Text(_caption(budgets, stopped=stopped, confirmed=confirmed), style="dim"))


def _cell(arm: Mapping[str, Any], column: str) -> str:
    if column == "images_seen":
        return f"{arm[column] / 1000:,.0f}"
    if column == "n_confirm_finished" and arm["n_confirm_failed"]:
        return f"{arm[column]} of {arm[column] + arm['n_confirm_failed']}"
    return f"{arm[column]:,.0f}"


def _caption(budgets: Mapping[str, Any], *, stopped: bool, confirmed: bool) -> str:
    lines = [
        "epochs, images and s (seconds of training) of the search" + (", those of failed and stopped trials too" if stopped else "") + "."
    ]
    lines.append("settings: how many were searched." + (" trainings: finished ones of the confirmed settings." if confirmed else ""))
    if budgets["equal"]:
        lines.append("Budgets are equal" + (" in epochs, within one full training." if stopped else "."))
    else:
        lines.append("Budgets are NOT equal, so methods are not ranked. " + "; ".join(budgets["reasons"]) + ".")
    return "\n".join(lines)
