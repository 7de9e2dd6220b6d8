"""What each arm of a study cost, and whether the arms may be ranked: methods compared on unequal budgets are not compared."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from studies.arm_space import searched_settings
from studies.charged import audit_epochs, charged, charged_epochs
from studies.spec import Arm, StudySpec

Row = Mapping[str, Any]  # of table trials


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
        search_equal: whether the searches of the methods, and so their fronts, may be compared.
        equal: whether the methods may be ranked by what was confirmed; never where `search_equal` is not.
        reasons: why not, a sentence each.
        notes: what is to be known besides, a sentence each.
    """

    arms: list[ArmBudget]
    search_equal: bool
    equal: bool
    reasons: list[str]
    notes: list[str]


def collect_budgets(trials: Iterable[Row], spec: StudySpec) -> Budgets:
    """What each arm cost, and whether that was the same.

    Arms are equal if they have as many finished trials of as many epochs (with `budget: images`, as many images, but for a step a trial);
    with early stopping, if their epochs differ by no more than one full training. Failed trials were replaced, so they do not count
    without early stopping; that other seeds took their place is noted. Once something is confirmed, every arm must have a confirmed
    setting, and every confirmed setting its `confirm.seeds` trainings, failed ones too. That some methods push more images an epoch is
    told, not held against them; baselines are told too, but not ranked, so they are not looked at here.

    Args:
        trials: all rows of table trials.
        spec: the study.
    """
    rows = list(trials)
    members = {arm.name: [row for row in rows if row["arm"] == arm.name] for arm in spec.arms}
    compared = {arm.name: members[arm.name] for arm in spec.compared_arms}
    searched = {arm: [row for row in rows if row["phase"] == "search"] for arm, rows in compared.items()}
    of_search, of_confirm = search_reasons(searched, spec), confirm_reasons(compared, spec)
    return Budgets(
        arms=[_budget(arm, members[arm.name], spec) for arm in spec.arms],
        search_equal=not of_search,
        equal=not of_search and not of_confirm,
        reasons=of_search + of_confirm,
        notes=[note for note in _notes(searched, spec) if note],
    )


def _budget(arm: Arm, rows: Sequence[Row], spec: StudySpec) -> ArmBudget:
    searched = [row for row in rows if row["phase"] == "search"]
    states = Counter(row["state"] for row in searched)
    confirmed = Counter(row["state"] for row in rows if row["phase"] == "confirm")
    n_audit_epochs = sum(map(audit_epochs, searched))
    return ArmBudget(
        arm=arm.name,
        method=arm.method,
        condition=arm.condition.name,
        sampler=arm.sampler,
        n_finished=states["complete"],
        n_failed=states["failed"],
        n_stopped=states["stopped"],
        epochs=sum(map(charged_epochs, searched)),
        audit_epochs=n_audit_epochs,
        images_seen=sum(row["images_seen"] or 0 for row in searched),
        train_seconds=sum(row["train_seconds"] or 0.0 for row in searched),
        n_seeds=len({row["seed"] for row in searched}),
        n_searched=len(searched_settings(spec, arm.method)),
        n_confirmed=sum(row["chosen_as"] is not None for row in searched),
        n_confirm_finished=confirmed["complete"],
        n_confirm_failed=confirmed["failed"],
    )


def search_reasons(searched: Mapping[str, Sequence[Row]], spec: StudySpec) -> list[str]:
    """Why searches did not cost the same, a sentence each.

    Args:
        searched: by name, rows of phase search of table trials.
        spec: says what a budget is of, and whether trials were stopped early.
    """
    return [reason for reason in _search_reasons(searched, spec) if reason]


def _search_reasons(searched: Mapping[str, Sequence[Row]], spec: StudySpec) -> list[str]:
    complete = _complete(searched)
    if spec.stopping.rungs is not None:
        spent = {arm: sum(_cost(row, spec) for row in rows) for arm, rows in searched.items()}
        training = max((_cost(row, spec) for rows in complete.values() for row in rows), default=0)
        none = [arm for arm, rows in complete.items() if not rows] if any(complete.values()) else []
        return [
            _differing(f"{spec.budget} of the search", spent, tolerance=training),
            f"no finished trial: {_shortened(none)}" if none else "",
        ]
    spent = {arm: sum(_cost(row, spec) for row in rows) for arm, rows in complete.items()}
    n_finished = {arm: len(rows) for arm, rows in complete.items()}
    tolerance = max(n_finished.values(), default=0) * _step_images(complete, spec) if spec.budget == "images" else 0
    fewer = _differing("finished trials", n_finished)
    return [fewer or _differing(f"{spec.budget} of the finished trials", spent, tolerance=tolerance)]


def _complete(searched: Mapping[str, Sequence[Row]]) -> dict[str, list[Row]]:
    return {arm: [row for row in rows if row["state"] == "complete"] for arm, rows in searched.items()}


def _cost(row: Row, spec: StudySpec) -> float:
    return charged(row, "images_seen") if spec.budget == "images" else charged_epochs(row)


def _step_images(complete: Mapping[str, Sequence[Row]], spec: StudySpec) -> int:
    """Images of one step of the costliest method: by so much a training may end below a budget of images.

    Methods cannot be asked here, where tables alone are read; but on this budget one that passes over its batch c times trains c times
    fewer epochs.
    """
    fewest = min((row["epochs"] for rows in complete.values() for row in rows), default=spec.epochs)
    return spec.batch_size * math.ceil(spec.epochs / max(1, fewest))


def confirm_reasons(compared: Mapping[str, Sequence[Row]], spec: StudySpec) -> list[str]:
    """Why what was confirmed is not to be ranked, a sentence each; none before anything was chosen.

    Args:
        compared: by arm, its rows of table trials.
        spec: the study.
    """
    chosen = {arm: [row["trial_id"] for row in rows if row["chosen_as"] is not None] for arm, rows in compared.items()}
    trainings = {trial_id: 0 for ids in chosen.values() for trial_id in ids}
    if not trainings:
        return []
    for row in (row for rows in compared.values() for row in rows if row["phase"] == "confirm"):
        trainings[row["confirms"]] = trainings.get(row["confirms"], 0) + 1
    none = [arm for arm, ids in chosen.items() if not ids]
    unequal = _differing("trainings of a confirmed setting", trainings)
    if spec.confirm is not None and min(trainings.values()) < spec.confirm.seeds:
        unequal = f"the confirm phase is unfinished: {sum(trainings.values())} of {len(trainings) * spec.confirm.seeds} trainings ended"
    return [reason for reason in (f"no confirmed setting: {_shortened(none)}" if none else "", unequal) if reason]


def _notes(searched: Mapping[str, Sequence[Row]], spec: StudySpec) -> list[str]:
    complete = _complete(searched)
    seeds = {arm: frozenset(row["seed"] for row in rows) for arm, rows in complete.items()}
    usual = Counter(seeds.values()).most_common(1)[0][0]
    others = [arm for arm, own in seeds.items() if own != usual]
    chosen = any(row["chosen_as"] is not None for rows in searched.values() for row in rows)
    return [
        f"Finished trials do not have the same training seeds in all arms: {_shortened(others)} had others." if others else "",
        few_trials(spec, {arm: len(rows) for arm, rows in complete.items()}) if chosen else "",
    ]


def few_trials(spec: StudySpec, n_finished: Mapping[str, int]) -> str:
    """A sentence where arms have fewer finished trials than `confirm` takes settings of each, as after failures or early stopping.

    Args:
        spec: the study.
        n_finished: by compared arm.
    """
    if spec.confirm is None:
        return ""
    wanted = spec.confirm.at_most if spec.confirm.points == "front" else 1
    few = [f"{arm} {n}" for arm, n in n_finished.items() if n < wanted]
    if not few:
        return ""
    return f"Fewer finished trials than settings to confirm ({wanted} an arm): {_shortened(few)}. What they gave is confirmed."


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
    table.add_column("budgets", ratio=1, overflow="fold", min_width=11)
    titles = ["done"] + ["fai-\nled"] * failed + ["stop-\nped"] * stopped + ["epochs\n+audit" if audited else "epochs"]
    titles += ["images", "time", "seeds", "set-\ntings"] + ["con-\nfirmed"] * confirmed
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for condition in dict.fromkeys(arm["condition"] for arm in arms):
        table.add_row(Text(condition))
        members = [arm for arm in arms if arm["condition"] == condition]
        for method in dict.fromkeys(arm["method"] for arm in members):
            for arm in (arm for arm in members if arm["method"] == method):
                cells = [f"{arm['n_finished']}"] + [f"{arm['n_failed']}"] * failed + [f"{arm['n_stopped']}"] * stopped
                cells += [_count(arm["epochs"]) + (f" +{_count(arm['audit_epochs'])}" if arm["audit_epochs"] else "")]
                cells += [_thousands(arm["images_seen"]), _duration(arm["train_seconds"]), f"{arm['n_seeds']}", f"{arm['n_searched']}"]
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
    also = "failed and stopped ones" if stopped else "failed ones"
    of_all = f"of all trials of the search, {also} included"
    lines = [f"done: finished trials. epochs, images pushed through networks, time, seeds: {of_all}. settings: searched."]
    if confirmed:
        lines[0] += " confirmed: trainings with fresh seeds (of so many settings)."
    if budgets["equal"]:
        lines.append("Budgets are equal in " + ("epochs, within one full training." if stopped else "finished trials and their epochs."))
    else:
        lines.append("Budgets are NOT equal, so methods are not ranked. " + "; ".join(budgets["reasons"]) + ".")
    lines += budgets["notes"]
    return "\n".join(lines)
