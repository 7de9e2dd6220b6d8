"""What a run looks like while it runs: one live view on a terminal, a few lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Protocol

from rich.console import Console, RenderableType
from rich.live import Live

from studies.pareto import non_dominated
from studies.progress_table import ProgressTable, amount, duration
from studies.screen import say

if TYPE_CHECKING:
    from studies.search import Suggestion  # which needs Torch; a view does not

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
        points: what the pairs of values in the last table are.
        values: the pair's own titles.
        age: seconds since the run began, where that was not now.
        phase: what the time left is of, where more follows; empty where it is all.
    """

    def __init__(
        self,
        title: str,
        arms: Mapping[str, int],
        *,
        epochs: int,
        slots: int,
        points: str = "front so far",
        values: str = "acc/ECE",
        age: float = 0.0,
        phase: str = "",
    ) -> None:
        self.title, self.epochs, self.slots, self.points, self.phase = title, epochs, slots, points, phase
        self.values = values
        self.arms = {arm: ArmProgress(epochs, wanted) for arm, wanted in arms.items()}
        self.running: dict[str, RunningTrial] = {}
        self.started = time.monotonic() - age
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
        self.begin(suggestion.trial_id, suggestion.arm.name, suggestion.number)

    def begin(self, trial_id: str, arm: str, number: int) -> None:
        """The same of a trial that is known from the ledger."""
        self.running[trial_id] = RunningTrial(arm, number)

    def epoch(self, trial_id: str, row: dict[str, Any], *, now: bool = True) -> None:
        """A trial ended an epoch; the pace is measured by those that it ended `now`."""
        if now:
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

    def left(self) -> str:
        """`0:12 left (search)`; empty before there is an estimate, and once nothing is left."""
        seconds = self.seconds_left() if self.finished < self.total else None
        return "" if seconds is None else f"{duration(seconds)} left{f' ({self.phase})' if self.phase else ''}"

    def _running(self) -> list[RunningTrial]:
        return list(self.running.values())

    def render(self) -> RenderableType:
        """The whole view, for a terminal of any size."""
        return ProgressTable(self)


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
        """Remove the view, also one whose beginning was interrupted."""
        try:
            self._live.stop()
        except IndexError:  # of Rich, which takes back what had not yet been done
            self._console.show_cursor(True)


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
            left = self._progress.left()
            self.note(f"{amount(self._progress.finished)}/{self._progress.total} trials{f', about {left}' if left else ''}")

    def note(self, text: str) -> None:
        """Print a line."""
        say(self._console, text)

    def stop(self) -> None:
        """Nothing to remove."""


def make_view(progress: StudyProgress, console: Console) -> View:
    """The view that suits `console`."""
    return LiveView(progress, console) if console.is_terminal else LineView(progress, console)
