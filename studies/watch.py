"""A running study seen from another terminal, through its ledger; nothing in the run's folder is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final

from rich.console import Console

from bsd_core.errors import DataError
from studies.alive import look_at, started
from studies.commands import command
from studies.ledger import Event
from studies.ledger_tail import LedgerTail
from studies.objectives import shortest_titles
from studies.progress import StudyProgress, View, make_view
from studies.progress_table import amount
from studies.run_folder import RunFolder
from studies.run_state import RunState
from studies.screen import say
from studies.spec import StudySpec
from studies.status import RunStatus, run_status, slots_of

_EVERY: Final = 0.5  # seconds between looks at the ledger
_PULL_EVERY: Final = 10.0  # of a run in an object store
_ENDED_WELL, _ENDED_OTHERWISE = 0, 1


class Follower:
    """What the ledger of a run says, as the progress that the run itself would show.

    Args:
        title: of the run.
        spec: its study.
        slots: trials that run at once.
        age: seconds since the run began.

    Attributes:
        state: how far it is.
        progress: of the phase that it is in.
        phase: search or confirm.
    """

    def __init__(self, title: str, spec: StudySpec, *, slots: int, age: float = 0.0) -> None:
        self._title, self._spec, self._slots = title, spec, slots
        self._began = time.monotonic() - age
        self.state = RunState(spec)
        self.phase = "search"
        more = "search" if spec.confirm is not None else ""
        wanted = {arm.name: spec.trials for arm in spec.arms}
        self.progress = self._progress(title, wanted, values=shortest_titles(spec.targets), phase=more)

    def take(self, events: Iterable[Event], *, now: bool) -> list[str]:
        """Take in events; what the user should read of them, a line each.

        Args:
            events: in the order of the ledger.
            now: whether they happened just now; if not, they say nothing of the pace.
        """
        lines: list[str] = []
        for event in events:
            if event["event"] == "note":
                lines += [str(event.get("text")) if event.get("of_run") else f"{event.get('trial_id')}: {event.get('text')}"]
                continue
            try:
                outcome = self.state.take(event)
            except DataError as error:
                lines.append(str(error))
                continue
            match event["event"]:
                case "confirm" if self.phase == "search" and self.state.to_confirm is not None:
                    self.phase = "confirm"
                    self.progress = self._progress(f"{self._title}, confirmed on test", self.state.to_confirm, points="test")
                case "suggest" if self._is_of_phase(event["trial_id"]):
                    self.progress.begin(event["trial_id"], event["arm"], event["trial_number"])
                case "epochs":
                    for row in event["rows"]:
                        self.progress.epoch(event["trial_id"], dict(row), now=now)
                case "end" if outcome is not None:
                    arm = self.state.arm_of(event["trial_id"])
                    if arm in self.progress.arms:
                        share: Fraction | None = outcome.share if outcome.stopped else None
                        self.progress.end(event["trial_id"], arm, outcome.values, stopped=share)
                    if outcome.failed:
                        lines.append(f"{event['trial_id']} failed: {event.get('error')}")
        return lines

    def _is_of_phase(self, trial_id: str) -> bool:
        return self.state.arm_of(trial_id) in self.progress.arms and self.state.is_open(trial_id)

    def _progress(self, title: str, wanted: dict[str, int], **words: str) -> StudyProgress:
        age = time.monotonic() - self._began
        return StudyProgress(title, wanted, epochs=self._spec.epochs, slots=self._slots, age=age, **words)


def watch_run(run: RunFolder, console: Console, *, every: float = _EVERY) -> int:
    """Show a run until no process is at work on it, then say how it ended.

    Args:
        run: to watch.
        console: to show it on: live on a terminal, else a line now and then.
        every: seconds between looks.

    Returns:
        The exit code: 0 where everything was trained, 1 where the run failed or was interrupted.

    Raises:
        BSDError: the run cannot be read.
        KeyboardInterrupt: watching was ended; the run goes on.
    """
    spec, begun, tail = run.spec(), started(run), LedgerTail(run.ledger)
    age = 0.0 if begun is None else max(0.0, (datetime.now(UTC) - begun).total_seconds())
    slots = slots_of(run.provenance())
    is_at_work = look_at(run)
    at_work = is_at_work()  # asked before the ledger is read: what a run writes before it lets go is then read, too
    follower = Follower(run.study, spec, slots=slots, age=age)
    follower.take(tail.events(), now=False)
    if at_work:
        _follow(run, follower, tail, console, is_at_work, every)
    status = run_status(run.study, run.run_id, spec, follower.state, at_work=False, slots=slots, begun=begun)
    return _say_end(run, follower.state, status, console)


def _follow(run: RunFolder, follower: Follower, tail: LedgerTail, console: Console, is_at_work: Callable[[], bool], every: float) -> None:
    pulled, at_work = time.monotonic(), True
    view: View | None = None
    phase = follower.phase
    try:
        while at_work:
            if view is None or phase != follower.phase:
                if view is not None:
                    view.stop()
                view, phase = make_view(follower.progress, console), follower.phase
                view.start()
            time.sleep(every)
            at_work = is_at_work()
            if run.mirror is not None and (not at_work or time.monotonic() - pulled > _PULL_EVERY):
                run.mirror.pull()
                pulled = time.monotonic()
            for line in follower.take(tail.events(), now=True):
                view.note(line)
            view.update()
    finally:
        if view is not None:
            view.stop()


def _say_end(run: RunFolder, state: RunState, status: RunStatus, console: Console) -> int:
    """The last line, and the exit code."""
    trials = f"{amount(state.n_trials)} of {state.n_wanted} trials"
    if state.to_confirm is not None:
        trials += f", {state.n_confirmed} of {sum(state.to_confirm.values())} trainings to confirm"
    if status.state == "interrupted":
        say(console, f"Nobody is at work on this run, and it is not finished: {trials}. Finish it with: {command('resume', run.place)}")
        return _ENDED_OTHERWISE
    if status.state == "failed":
        say(console, f"The run ended, but {status.reason}: {trials}. What there is: {command('front', run.place)}")
        return _ENDED_OTHERWISE
    say(console, f"The run is finished: {trials}. Its front: {command('front', run.place)}")
    return _ENDED_WELL
