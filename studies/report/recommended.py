"""What a study recommends, and how much of the search's promise was luck, from the statistics document."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from studies.commands import command
from studies.front import UNEQUAL
from studies.remote_folder import RemoteFolder
from studies.report.confirmed import plain_table, with_interval
from studies.screen import say

Numbers = Mapping[str, Any]  # parts of the document


def retrain_command(run: Path | RemoteFolder, trial_id: str) -> str:
    """What to type to train a trial again."""
    return command("retrain", run, trial_id)


def print_operating_points(console: Console, document: Numbers, run: Path | RemoteFolder) -> None:
    """The operating points by condition, each with its command on a line of its own, unbroken so that it can be copied."""
    points = document["operating_points"]
    console.print(Text("operating points, chosen by validation values", style="bold"))
    if not document["budgets"]["search_equal"]:
        console.print(Text(UNEQUAL))
    for condition in dict.fromkeys(point["condition"] for point in points):
        members = [point for point in points if point["condition"] == condition]
        console.print(Text("all conditions" if condition is None else f"condition {condition}"))
        for trial_id in dict.fromkeys(point["trial_id"] for point in members if point["trial_id"] is not None):
            same = [point for point in members if point["trial_id"] == trial_id]
            console.print(_indented(f"{', '.join(point['name'] for point in same)}: {trial_id}"))
            console.print(_indented(f"  {_confirmed(same[0])}"))
            say(console, f"    {retrain_command(run, trial_id)}")
        for point in members:
            if point["trial_id"] is None:
                console.print(_indented(f"{point['name']}: none; {point['reason']}"))


def _indented(text: str) -> Padding:
    return Padding(Text(text), (0, 0, 0, 2))


def _confirmed(point: Numbers) -> str:
    confirmed_as = point["confirmed_as"]
    if confirmed_as is None:
        return "not confirmed"
    same = "" if confirmed_as == point["trial_id"] else f"; {confirmed_as} was confirmed, which has the same settings"
    if point["test_accuracy"] is None:
        return f"on test: no finished training{same}"
    return f"on test: accuracy {with_interval(point['test_accuracy'])} %, ECE {with_interval(point['test_ece'])} %{same}"


def render_winners_curse(document: Numbers) -> RenderableType:
    """The mean shrinkage of the chosen settings, a line an objective."""
    shrinkage = document["winners_curse"]["mean_shrinkage"]
    titles = dict(zip(("accuracy", "ece"), document["fronts"]["objectives"], strict=True))
    table = plain_table()
    table.add_column("points by which the search\nwas too optimistic")
    for title in ("same images,\nfresh seeds", "test images,\nfresh seeds"):
        table.add_column(title, justify="right", no_wrap=True)
    for kind, column in titles.items():
        table.add_row(
            Text(column.removeprefix("val_").replace("_", " ")), *(_shrinkage(shrinkage[f"{split}_{kind}"]) for split in ("val", "test"))
        )
    n = shrinkage["test_accuracy"]["n"] or shrinkage["val_accuracy"]["n"]
    caption = f"The search's value against the mean of fresh seeds, averaged over {n} chosen settings, with 95 % interval."
    return Group(Text("winner's curse", style="bold"), table, Text(caption, style="dim"))


def _shrinkage(summary: Numbers) -> str:
    if summary["mean"] is None:
        return "-"
    interval = "" if summary["low"] is None else f" [{100 * summary['low']:+.1f}, {100 * summary['high']:+.1f}]"
    return f"{100 * summary['mean']:+.1f}{interval}"
