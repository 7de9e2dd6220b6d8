"""What a run looks like while it runs: one live view on a terminal, a few lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from studies.pareto import non_dominated
from studies.screen import say
from studies.search import Suggestion

_MAX_RUNNING_LINES: Final = 8
_LINE_SECONDS: Final = 10.0  # without a terminal: at most one line in this time


@dataclass
class RunningTrial:
    """A trial on its way."""

    arm: str
    number: int
    latest: dict[str, Any] = field(default_factory=dict)  # the newest epoch row


@dataclass
class ArmProgress:
    """Results of one arm so far."""

    epochs: int  # of a trial
    wanted: int  # finished trials; with early stopping, full trainings
    points: list[tuple[float, float]] = field(default_factory=list)  # (accuracy, ece): one append, so a drawing thread sees whole points
    failed: int = 0
    stopped: int = 0
    spent_on_stopped: Fraction = Fraction(0)  # full trainings

    @property
    def done(self) -> Fraction:
        """Of what is wanted."""
        return len(self.points) + self.spent_on_stopped

    def front(self) -> list[tuple[float, float]]:
        """Non-dominated (accuracy, ece), most accurate first, without repeats."""
        points = list(self.points)
        kept = non_dominated([accuracy for accuracy, _ in points], [ece for _, ece in points])
        return sorted({point for point, on in zip(points, kept, strict=True) if on}, reverse=True)


class StudyProgress:
    """The state that a view shows; knows no terminal.

    Args:
        title: of the run.
        arms: by name, in the study's order, the finished trials wanted.
        epochs: of a trial, unless its own rows say otherwise (a budget of images gives methods different numbers of epochs).
        slots: trials that run at once.
        points: what the pairs of accuracy and ECE in the last table are.
    """

    def __init__(self, title: str, arms: Mapping[str, int], *, epochs: int, slots: int, points: str = "front so far") -> None:
        self.title, self.epochs, self.slots, self._points = title, epochs, slots, points
        self.arms = {arm: ArmProgress(epochs, wanted) for arm, wanted in arms.items()}
        self.running: dict[str, RunningTrial] = {}
        self.started = time.monotonic()
        self._epochs_done = 0
        self._first_epoch: float | None = None

    @property
    def total(self) -> int:
        """Finished trials wanted in all."""
        return sum(arm.wanted for arm in self.arms.values())

    @property
    def finished(self) -> Fraction:
        """Finished trials so far, those of an earlier process included; stopped ones by their share of a training."""
        return sum((arm.done for arm in self.arms.values()), Fraction(0))

    @property
    def failed(self) -> int:
        """Failed trials so far."""
        return sum(arm.failed for arm in self.arms.values())

    def start(self, suggestion: Suggestion) -> None:
        """A trial was handed out."""
        self.running[suggestion.trial_id] = RunningTrial(suggestion.arm.name, suggestion.number)

    def epoch(self, trial_id: str, row: dict[str, Any]) -> None:
        """A trial ended an epoch."""
        self._first_epoch = self._first_epoch or time.monotonic()
        self._epochs_done += 1
        if trial_id in self.running:
            trial = self.running[trial_id]
            trial.latest = row
            if trial.arm in self.arms:
                self.arms[trial.arm].epochs = row.get("epochs", self.epochs)

    def drop(self, trial_id: str) -> None:
        """A trial lost its process and waits to be started again."""
        self.running.pop(trial_id, None)

    def end(self, trial_id: str | None, arm: str, values: tuple[float, float] | None, *, stopped: Fraction | None = None) -> None:
        """A trial ended, or was found ended in the ledger; `stopped` early, after this share of a full training."""
        if trial_id is not None:
            self.running.pop(trial_id, None)
        if stopped is not None:
            self.arms[arm].stopped += 1
            self.arms[arm].spent_on_stopped += stopped
        elif values is None:
            self.arms[arm].failed += 1
        else:
            self.arms[arm].points.append(values)

    def seconds_left(self) -> float | None:
        """Estimate from the pace of epochs in this process; None before there is one."""
        if self._first_epoch is None or self._epochs_done < 3 * self.slots:
            return None
        elapsed = time.monotonic() - self._first_epoch
        missing: float = float(sum((arm.wanted - arm.done) * arm.epochs for arm in self.arms.values()))
        missing -= sum(trial.latest.get("epoch", 0) for trial in self._running())
        return elapsed / self._epochs_done * max(0.0, missing)

    def _running(self) -> list[RunningTrial]:
        return list(self.running.values())

    def render(self) -> RenderableType:
        """The whole view."""
        head = Table.grid(expand=True, padding=(0, 1))
        head.add_column(no_wrap=True)
        head.add_column(ratio=1)
        head.add_column(justify="right", no_wrap=True)
        left = self.seconds_left()
        clock = f"{_amount(self.finished)}/{self.total}  {_duration(time.monotonic() - self.started)}"
        clock += f"  {_duration(left)} left" if left is not None else "  starting" if not self.finished else ""
        head.add_row(Text(self.title, style="bold"), ProgressBar(total=max(1, self.total), completed=float(self.finished)), clock)
        return Group(head, self._running_table(), self._front_table())

    def _running_table(self) -> Table:
        table = _grid("running", "epoch", "loss", "val acc", "val ECE")
        running = self._running()
        for trial in running[:_MAX_RUNNING_LINES]:
            row = trial.latest
            numbers = (f"{row['train_loss']:.3f}", _percent(row["val_accuracy"]), _percent(row["val_ece"])) if row else ("", "", "")
            epoch, epochs = row.get("epoch", 0), row.get("epochs", self.epochs)
            table.add_row(Text(f"{trial.arm} #{trial.number}"), f"{epoch}/{epochs}" if epoch < epochs else "evaluating", *numbers)
        if len(running) > _MAX_RUNNING_LINES:
            table.add_row(Text(f"and {len(running) - _MAX_RUNNING_LINES} more", style="dim"))
        return table

    def _front_table(self) -> Table:
        table = _grid(f"{self._points}: acc/ECE %", "done", "")
        table.columns[2].justify = "left"
        for name, arm in list(self.arms.items()):
            front = arm.front()
            shown = "  ".join(f"{accuracy * 100:.1f}/{ece * 100:.1f}" for accuracy, ece in front[:3])
            more = f"  +{len(front) - 3}" if len(front) > 3 else ""
            stopped = f"  {arm.stopped} stopped" if arm.stopped else ""
            failed = f"  {arm.failed} failed" if arm.failed else ""
            table.add_row(Text(name), f"{_amount(arm.done)}/{arm.wanted}", Text(shown + more + stopped + failed))
        return table


def _grid(*titles: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", show_edge=False)
    for index, title in enumerate(titles):
        table.add_column(title, justify="right" if index else "left", no_wrap=True)
    return table


def _amount(trainings: Fraction) -> str:
    return str(trainings) if trainings.denominator == 1 else f"{float(trainings):.1f}"


def _percent(fraction: float) -> str:
    return f"{fraction * 100:.1f} %"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class View(Protocol):
    """How progress reaches the user."""

    def start(self) -> None:
        """The run begins."""

    def update(self) -> None:
        """Something changed."""

    def note(self, text: str) -> None:
        """A line that stays, such as a failed trial."""

    def stop(self) -> None:
        """The run is over."""


class LiveView:
    """A view that redraws in place, on a terminal. Redrawing is by the clock, not by events, so it does not flicker."""

    def __init__(self, progress: StudyProgress, console: Console) -> None:
        self._progress, self._console = progress, console
        self._live = Live(
            get_renderable=self._draw, console=console, refresh_per_second=4, redirect_stdout=False, redirect_stderr=False, transient=True
        )

    def _draw(self) -> RenderableType:
        return self._progress.render()

    def start(self) -> None:
        """Begin to draw."""
        self._live.start()

    def update(self) -> None:
        """The next redraw shows it."""

    def note(self, text: str) -> None:
        """Print a line above the view."""
        say(self._live.console, text)

    def stop(self) -> None:
        """Remove the view."""
        self._live.stop()


class LineView:
    """A line now and then, for logs and pipes."""

    def __init__(self, progress: StudyProgress, console: Console) -> None:
        self._progress, self._console = progress, console
        self._last = time.monotonic()

    def start(self) -> None:
        """Say what begins."""
        self.note(f"{self._progress.title}: {self._progress.total} trials, {self._progress.slots} at once")

    def update(self) -> None:
        """A line, if the last is long enough ago."""
        if time.monotonic() - self._last >= _LINE_SECONDS:
            self._last = time.monotonic()
            left = self._progress.seconds_left()
            rest = f", about {_duration(left)} left" if left is not None else ""
            self.note(f"{_amount(self._progress.finished)}/{self._progress.total} trials{rest}")

    def note(self, text: str) -> None:
        """Print a line."""
        say(self._console, text)

    def stop(self) -> None:
        """Nothing to remove."""


def make_view(progress: StudyProgress, console: Console) -> View:
    """The view that suits `console`."""
    return LiveView(progress, console) if console.is_terminal else LineView(progress, console)
