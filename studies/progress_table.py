"""How the progress of a study is drawn on a terminal of any size: never wider than it, and never higher."""

from __future__ import annotations

import time
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from studies.progress import ArmProgress, RunningTrial, StudyProgress

_MOST_RUNNING: Final = 9  # lines of running trials, the one that counts the rest included
_FEWEST_RUNNING: Final = 3
_POINTS: Final = 30  # columns that points of fronts get before names of arms are cut
_NUMBERS: Final = 10 + 9 + 8 + 8 + 1  # columns of a running trial beside its name


class ProgressTable:
    """The head, the running trials and the arms.

    Running trials get as many lines as could run at once, so that nothing below moves as they come and go; where the terminal is too low
    for all, they get fewer first, then the arms do.

    Args:
        progress: what is drawn.
    """

    def __init__(self, progress: StudyProgress) -> None:
        self._progress = progress

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw for `options.max_width` columns and the lines of `console`, less one for the cursor."""
        progress, width = self._progress, options.max_width
        n_lines = (options.height or console.height) - 1
        arms, running = list(progress.arms.items()), list(progress.running.values())
        yield self._head(width)
        for_running, for_arms = _shared(n_lines - 1, max(progress.slots, len(running)), len(arms))
        if for_running:
            yield self._running(running, for_running, width)
        if for_arms:
            yield self._arms(arms, for_arms, width)

    def _head(self, width: int) -> Table:
        progress = self._progress
        left = progress.left()
        clock = f"{amount(progress.finished)}/{progress.total}  {duration(time.monotonic() - progress.started)}"
        clock += f"  {left}" if left else "  starting" if not progress.finished else ""
        head = Table.grid(expand=True, padding=(0, 1))
        head.add_column(no_wrap=True)
        head.add_column(ratio=1)
        head.add_column(justify="right", no_wrap=True)
        bar = ProgressBar(total=max(1, progress.total), completed=float(progress.finished))
        head.add_row(_cut(Text(progress.title, style="bold"), width - len(clock) - 10), bar, clock)
        return head

    def _running(self, running: Sequence[RunningTrial], n_lines: int, width: int) -> Table:
        room = max(8, width - _NUMBERS)
        table = _grid("running", "epoch", "loss", "val acc", "val ECE")
        for column, at_least in zip(table.columns, (min(room, self._longest_name()), 10, 8, 7, 7), strict=True):
            column.min_width = at_least
        shown = running if len(running) <= n_lines else running[: n_lines - 1]
        for trial in shown:
            row, number = trial.latest, f" #{trial.number}"
            epoch, epochs = row.get("epoch", 0), row.get("epochs", self._progress.epochs)
            name = _cut(Text(trial.arm), room - len(number)).append(number)
            loss = row.get("train_loss")
            numbers = ("" if loss is None else f"{loss:.3f}", _percent(row.get("val_accuracy")), _percent(row.get("val_ece")))
            table.add_row(name, f"{epoch}/{epochs}" if epoch < epochs else "evaluating", *numbers)
        if more := len(running) - len(shown):
            table.add_row(Text(f"and {more} more", style="dim"))
        for _ in range(n_lines - len(shown) - bool(more)):
            table.add_row()
        return table

    def _longest_name(self) -> int:
        """Of a running trial of any arm, with a number of two digits."""
        return max((Text(name).cell_len for name in self._progress.arms), default=0) + 4

    def _arms(self, arms: Sequence[tuple[str, ArmProgress]], n_lines: int, width: int) -> Table:
        title = f"{self._progress.points}: {self._progress.values} %"
        done = max((len(_done(arm)) for _, arm in arms), default=0)
        room = max(8, width - done - 2 - _POINTS)
        table = _grid(title if len(title) <= max(room, self._longest_name()) else self._progress.points, "done", "")
        table.columns[2].justify = "left"
        # Where not all fit, those that still have something to do come first.
        order = arms if len(arms) <= n_lines else sorted(arms, key=lambda entry: entry[1].done >= entry[1].wanted)
        shown = order if len(arms) <= n_lines else order[: n_lines - 1]
        for name, arm in shown:
            table.add_row(_cut(Text(name), room), _done(arm), Text(_results(arm)))
        if rest := [arm for _, arm in order[len(shown) :]]:
            wanted, ended = sum(arm.wanted for arm in rest), sum((arm.done for arm in rest), Fraction(0))
            failed = sum(arm.failed for arm in rest)
            note = f"{failed} failed" if failed else ""
            table.add_row(Text(f"and {len(rest)} more arms", style="dim"), f"{amount(ended)}/{wanted}", Text(note))
        return table


def _shared(n_lines: int, n_running: int, n_arms: int) -> tuple[int, int]:
    """Lines for running trials and for arms, without their headers; 0 where a table is left out."""
    n_lines -= 2
    if n_lines < 2:
        return 0, 0
    for_arms = min(n_arms, max(1, n_lines - min(n_running, _FEWEST_RUNNING)))
    return min(n_running, _MOST_RUNNING, n_lines - for_arms), for_arms


def _results(arm: ArmProgress) -> str:
    front = arm.front()
    shown = "  ".join(f"{accuracy * 100:.1f}/{ece * 100:.1f}" for accuracy, ece in front[:3])
    more = f"  +{len(front) - 3}" if len(front) > 3 else ""
    stopped = f"  {arm.stopped} stopped" if arm.stopped else ""
    failed = f"  {arm.failed} failed" if arm.failed else ""
    return shown + more + stopped + failed


def _done(arm: ArmProgress) -> str:
    return f"{amount(arm.done)}/{arm.wanted}"


def _cut(name: Text, width: int) -> Text:
    name.truncate(max(1, width), overflow="ellipsis")
    return name


def _grid(*titles: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", show_edge=False)
    for index, title in enumerate(titles):
        table.add_column(title, justify="right" if index else "left", no_wrap=True)
    return table


def amount(trainings: Fraction) -> str:
    """Trainings, with one digit where they are not whole."""
    return str(trainings) if trainings.denominator == 1 else f"{float(trainings):.1f}"


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{fraction * 100:.1f} %"


def duration(seconds: float) -> str:
    """`0:07`, `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
