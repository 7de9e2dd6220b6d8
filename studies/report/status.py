"""The runs of a results folder as a table, readable at 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from studies.commands import command
from studies.progress_table import amount, duration
from studies.remote_folder import RemoteFolder
from studies.status import RunStatus


def render_status(runs: Sequence[RunStatus], *, results: Path | RemoteFolder | None = None, now: datetime | None = None) -> RenderableType:
    """A line a run, then why those that failed or cannot be read did.

    Args:
        runs: at least one.
        results: where they are, for commands; None where these find them without being told.
        now: what ages are counted from.
    """
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", show_edge=False)
    table.add_column("study", overflow="fold", min_width=5)
    table.add_column("run", overflow="fold", min_width=16)
    for title in ("state", "trials", "confirm", "started", "left"):
        table.add_column(title, no_wrap=True, justify="left" if title in ("state", "started") else "right")
    for run in runs:
        left = "" if run.seconds_left is None else f"{duration(run.seconds_left)}{'+' if run.confirm_follows else ''}"
        begun = "-" if run.started is None else _age(run.started, now or datetime.now(UTC))
        table.add_row(Text(run.study), Text(run.run_id), run.state, _trials(run), _confirm(run), begun, left)
    parts: list[RenderableType] = [table]
    parts += [Text(f"{run.study} {run.run_id}: {run.reason}") for run in runs if run.reason is not None]
    parts.append(Text(_caption(runs, results), style="dim"))
    return Group(Text("runs, newest first", style="bold"), *parts)


def _trials(run: RunStatus) -> str:
    return "-" if run.progress is None else f"{amount(run.progress.n_trials)}/{run.progress.n_wanted}"


def _confirm(run: RunStatus) -> str:
    if run.progress is None or not run.confirms:
        return "-"
    if run.progress.to_confirm is None:
        return "none" if run.progress.complete else "to come"
    return f"{run.progress.n_confirmed}/{sum(run.progress.to_confirm.values())}"


def _age(begun: datetime, now: datetime) -> str:
    """`5 min ago`: short, and enough to know a run by; its id has the second."""
    seconds = max(0.0, (now - begun).total_seconds())
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return "just now"


def _caption(runs: Sequence[RunStatus], results: Path | RemoteFolder | None) -> str:
    states = {run.state for run in runs}
    where = () if results in (None, Path("results").absolute()) else ("--results", results)
    lines = ["trials: finished, of those wanted; with early stopping, full trainings. confirm: trainings with fresh seeds that ended."]
    if "running" in states:
        lines.append(
            "left: about, by the pace of its trials; with +, of the search alone, after which settings are confirmed. Follow it: "
            f"{command('watch', 'STUDY', *where)}"
        )
    if "interrupted" in states:
        lines.append(f"interrupted: finish it with {command('resume', 'STUDY', *where)}; of an older run, name its folder.")
    return "\n".join(lines)
