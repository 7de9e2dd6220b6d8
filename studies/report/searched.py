"""What the search was worth: hypervolumes, the settings that mattered, and what early stopping cost, from the statistics document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from studies.front import UNEQUAL
from studies.report.confirmed import plain_table, with_interval

Numbers = Mapping[str, Any]  # parts of the document

_TOP: Final = 3


def render_hypervolumes(document: Numbers) -> RenderableType:
    """Hypervolume of what was confirmed, over seeds, and of the search, beside random search where there is a baseline."""
    search, confirmed = document["fronts"]["search"], document["fronts"]["confirmed"]
    arms = [arm for arm in document["budgets"]["arms"] if arm["sampler"] != "random"]
    random = any(arm["sampler"] == "random" for arm in document["budgets"]["arms"])
    table = plain_table()
    table.add_column("hypervolume", ratio=1, overflow="fold")
    for title in ["search,\nvalidation"] + ["random\nsearch"] * random + ["confirmed,\ntest", "set-\ntings"]:
        table.add_column(title, justify="right", no_wrap=True)
    for condition in dict.fromkeys(arm["condition"] for arm in arms):
        table.add_row(Text(f"condition {condition}"))
        for arm in (arm for arm in arms if arm["condition"] == condition):
            front = confirmed[arm["arm"]]
            cells = [_final(search[arm["arm"]])] + [_final(search.get(f"{arm['arm']}/random"))] * random
            seeds = with_interval(front and front["hypervolume"], scale=1, digits=3)
            table.add_row(Text(f"  {arm['method']}"), *cells, seeds, f"{front['n_settings']}" if front else "-")
    caption = (
        "Area that a front dominates as seen from accuracy 0 and ECE 1, so at most 1. search: one training a setting. ±: half of the 95 % "
        "interval over fresh seeds. settings: that the confirmed area rests on, those of operating points alone left out; more settings "
        "can only have more area, so areas of unequal numbers are not comparable."
    )
    if not document["budgets"]["equal"]:
        caption += f"\n{UNEQUAL}"
    return Group(table, Text(caption, style="dim"))


def _final(front: Numbers | None) -> str:
    reached = front["anytime"]["hypervolume"] if front is not None else []
    return f"{reached[-1]:.3f}" if reached else "-"


def render_importance(document: Numbers) -> RenderableType:
    """The settings that mattered most, by arm and objective."""
    objectives = document["fronts"]["objectives"]
    table = plain_table()
    table.add_column("shares, %", ratio=1, overflow="fold")
    for objective in objectives:
        table.add_column(f"for {objective.removeprefix('val_').replace('_', ' ').replace('ece', 'ECE')}", overflow="fold")
    for arm, by_objective in document["importance"].items():
        method, _, condition = arm.partition("/")
        name = Group(Text(method), Text(f"  {condition}", style="dim"))
        table.add_row(name, *(_most(by_objective[objective]) for objective in objectives))
    caption = (
        "Share of what all searched settings of the arm explain of an objective (PED-ANOVA), the three largest, with 80 % bootstrap "
        "interval over trials. Shares whose intervals overlap are not to be ranked."
    )
    return Group(Text("settings that mattered", style="bold"), table, Text(caption, style="dim"))


def _most(shares: Numbers | None) -> Text:
    if shares is None:
        return Text("too few trials")
    largest = sorted(shares.items(), key=lambda item: -item[1]["value"])[:_TOP]
    return Text("\n".join(f"{name} {100 * share['value']:.0f}{_interval(share)}" for name, share in largest))


def _interval(share: Numbers) -> str:
    return "" if share["low"] is None else f" [{100 * share['low']:.0f}, {100 * share['high']:.0f}]"


def render_audit(document: Numbers) -> RenderableType:
    """What early stopping may have lost, by arm."""
    table = plain_table()
    table.add_column("early stopping", ratio=1, overflow="fold")
    for title in ("stopped", "audited", "would have reached\nthe front"):
        table.add_column(title, justify="right", no_wrap=True)
    counts = {arm["arm"]: document["audit"][arm["arm"]] for arm in document["budgets"]["arms"] if arm["arm"] in document["audit"]}
    for arm, audit in counts.items():
        table.add_row(Text(arm), *(f"{audit[name]}" for name in ("n_stopped", "n_audited", "n_would_have_reached_front")))
    audited, reached = (sum(audit[name] for audit in counts.values()) for name in ("n_audited", "n_would_have_reached_front"))
    caption = f"audited: stopped trials that ran to their end all the same. {reached} of {audited} would have reached their arm's front."
    return Group(table, Text(caption, style="dim"))
