"""What was confirmed on the test split, from the statistics document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from studies.front import format_settings
from studies.screen import percent

Numbers = Mapping[str, Any]  # parts of the document

_TITLES = {
    "test_accuracy": "acc %",
    "test_ece": "ECE %",
    "test_nll": "NLL",
    "test_ece_temperature_scaled": "ECE %\nafter T",
    "test_corrupted_accuracy": "corr.\nacc %",
    "test_corrupted_ece": "corr.\nECE %",
}


def plain_table() -> Table:
    """A table without colours and outer lines."""
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)


def with_interval(summary: Numbers | None, *, scale: float = 100, digits: int = 1) -> str:
    """`97.2 ±0.6`: a mean over seeds and half of its interval; without the latter where one seed is all there is, `-` without any.

    Args:
        summary: `SeedSummary` as a mapping.
        scale: of what is shown; 100 for percent.
        digits: after the point.
    """
    if summary is None or summary["mean"] is None:
        return "-"
    mean = f"{scale * summary['mean']:.{digits}f}"
    return mean if summary["low"] is None else f"{mean} ±{scale * (summary['high'] - summary['low']) / 2:.{digits}f}"


def of_wanted(n: int, wanted: int) -> str:
    """`5`, or `1 of 5` where trainings failed or are still to come."""
    return f"{n}" if n == wanted else f"{n} of {wanted}"


def render_confirmed(document: Numbers, *, opened: str | None = None) -> RenderableType:
    """A table of the confirmed settings for each condition, readable at 80 columns.

    Args:
        document: of `collect_statistics`, with something confirmed.
        opened: when the test split was opened, as the provenance has it.
    """
    parts: list[RenderableType] = []
    for condition in dict.fromkeys(point["condition"] for point in document["confirmed"]):
        members = [point for point in document["confirmed"] if point["condition"] == condition]
        parts += [Text(f"confirmed on test, condition {condition}", style="bold"), _table(members, document["setup"]["seeds"]), Text()]
    return Group(*parts, Text(_caption(document, opened), style="dim"))


def _table(points: Sequence[Numbers], wanted: int) -> Table:
    table = plain_table()
    table.add_column("method: chosen as\nsettings", ratio=1, overflow="fold")
    titles = {name: title for name, title in _TITLES.items() if any(point["metrics"][name]["n"] for point in points)}
    for title in titles.values():
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    for point in points:
        name = Text(point["method"], style="bold").append(f": {', '.join(point['roles'])}", style="not bold")
        settings = Padding(Text(format_settings(point["settings"]), style="dim"), (0, 0, 0, 2))
        cells = [_cell(metric, point["metrics"][metric]) for metric in titles]
        table.add_row(Group(name, settings), *cells, of_wanted(point["n_finished"], wanted))
    return table


def _cell(metric: str, summary: Numbers) -> str:
    if metric in ("test_accuracy", "test_ece"):
        return with_interval(summary)
    if metric == "test_nll":
        return "-" if summary["mean"] is None else f"{summary['mean']:.3f}"
    return percent(summary["mean"])


def _caption(document: Numbers, opened: str | None) -> str:
    points, setup = document["confirmed"], document["setup"]
    lines = ["Test split: opened once" + (f", at {opened}" if opened else "") + ", after everything was chosen by validation values."]
    lines.append(f"n: trainings of the setting with fresh seeds{wrong_labels_of(document)}, on {setup['train_on']}.")
    if setup["n_test"] is None:
        return "\n".join([*lines, "No training has come through yet, so nothing is measured; see `error` in trials.parquet."])
    lines.append(f"{setup['n_test']} test images, judged by their true labels.")
    if any(point["metrics"]["test_accuracy"]["low"] is not None for point in points):
        lines.append("±: half of the 95 % interval (Student's t) of the mean over fresh seeds, on these images." + _image_widths(points))
    else:
        why = "Confirm with two or more: confirm.seeds=5." if setup["seeds"] == 1 else "No setting has two finished trainings yet."
        lines.append(f"No interval over seeds. {why}{_image_widths(points)}")
    if any(point["metrics"]["test_ece_temperature_scaled"]["n"] for point in points):
        whose = " by the search's training of the setting" if setup["train_on"] == "train+val" else ""
        lines.append(f"after T: probabilities scaled by a temperature that was fitted on validation images{whose}.")
    failed = sum(point["n_failed"] for point in points)
    if failed:
        lines.append(
            f"{failed} of these trainings failed and are left out of the means, which therefore flatter; see `error` in trials.parquet."
        )
    return "\n".join(lines)


def wrong_labels_of(document: Numbers) -> str:
    """Which wrong labels the fresh seeds trained on."""
    if all(point["condition"] == "none" for point in document["confirmed"]):
        return ""
    return ", each with wrong labels of its own" if document["setup"]["noise_seeds"] == "fresh" else ", on the search's wrong labels"


def _image_widths(points: Sequence[Numbers]) -> str:
    """What other images would change, typically."""
    ends = {metric: [point["image_intervals"][metric] for point in points] for metric in ("test_accuracy", "test_ece")}
    halves = {metric: [100 * (high - low) / 2 for low, high in found if low is not None] for metric, found in ends.items()}
    if not all(halves.values()):
        return ""
    accuracy, ece = (median(values) for values in halves.values())
    return f" Other images would move one network by about ±{accuracy:.1f} in accuracy and ±{ece:.1f} in ECE (95 %, bootstrap)."
