"""What stands between Ray Tune and the study: every message goes to the ledger first, then to the search, then to the view."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from bsd_core.errors import StorageError
from studies.halving import ParetoHalving
from studies.kept import Kept, write_kept
from studies.ledger import Event, Ledger
from studies.outcome import Outcome
from studies.progress import StudyProgress, View
from studies.screen import log
from studies.search import Suggestion, split_params
from studies.unfinished import MAX_DEATHS, Unfinished


class TrialSource(Protocol):
    """Hands out trials and takes in how they ended: the search, or the confirm phase."""

    @property
    def done(self) -> bool:
        """Whether nothing is left to hand out and nothing runs."""

    def next(self) -> Suggestion | None:
        """The next trial, or None while there is nothing to start."""

    def finish(self, suggestion: Suggestion, end: Mapping[str, Any]) -> Outcome:
        """Record the `end` event of a trial; what it means."""

    def give_back(self, suggestion: Suggestion) -> None:
        """The process of a trial died: hand it out again as it was."""

    def replay(self, events: Iterable[Mapping[str, Any]]) -> list[tuple[str, Outcome]]:
        """Take in an earlier process's ledger: (arm, outcome) of its finished trials."""


class StudyDriver:
    """The driver's side of all trials of a phase.

    Args:
        source: hands out trials and takes in results.
        ledger: where everything is written before anyone is told.
        progress, view: what the user sees.
        predictions: folder for the logits that trials send, with that for features beside it; without one both are dropped.
        halving: ends trials early; without one all train to their end.
        timeout: seconds after which a trial is overdue; None: never.
        forget: called with our id of a trial whose end is in the ledger: its checkpoints are no longer needed.

    Attributes:
        problem: why nothing more can be recorded; then no trial is begun, and none that ends is told to anybody.
    """

    def __init__(
        self,
        source: TrialSource,
        ledger: Ledger,
        progress: StudyProgress,
        view: View,
        *,
        predictions: Path | None = None,
        halving: ParetoHalving | None = None,
        timeout: float | None = None,
        forget: Callable[[str], object] = lambda trial_id: None,
    ) -> None:
        self.source, self.ledger, self.progress, self.view = source, ledger, progress, view
        self.problem: StorageError | None = None
        self._predictions, self._halving, self._timeout, self._forget = predictions, halving, timeout, forget
        self._suggestions: dict[str, Suggestion] = {}  # by Tune's id of the trial
        self._ends: dict[str, Event] = {}
        self._causes: dict[str, str] = {}  # by Tune's id: why a trial's process died
        self._began: dict[str, float] = {}  # by Tune's id, where trials are timed
        self._overdue: set[str] = set()  # Tune's ids
        self._unfinished = Unfinished()
        self._said: set[str] = set()  # what is said once a run

    def replay(self, events: Iterable[Event]) -> None:
        """Take in an earlier process's ledger, which may be read more than once."""
        for arm, outcome in self.source.replay(events):
            self._show_end(None, arm, outcome)
        self._unfinished.replay(events)
        if self._halving is not None:
            self._halving.replay(events)

    def suggest(self, tune_id: str) -> dict[str, Any] | None:
        """The configuration of one more trial, or None while there is nothing to start."""
        suggestion = None if self.problem is not None else self.source.next()
        if suggestion is None:
            return None
        try:
            self.ledger.append(suggest_event(suggestion))
        except StorageError as error:
            self.problem = error
            return None
        self._suggestions[tune_id] = suggestion
        self.progress.start(suggestion)
        self.view.update()
        return {"task": trial_task(suggestion)}

    def trial_name(self, tune_id: str) -> str:
        """Our id of a trial."""
        return self._suggestions[tune_id].trial_id

    def receive(self, tune_id: str, message: str, kept: Kept | None = None, *, sync: bool = False) -> bool:
        """Events of a trial, as its process sent them, and its predictions and features, which are on the disk before its end is.

        Args:
            tune_id: Tune's id of the trial.
            message: JSON of a list of events: begin, note, epoch, end.
            kept: beside its end.
            sync: whether the trial relies on these events from now on.

        Returns:
            Whether the trial is to be stopped: its end is then in the ledger, or nothing more can be recorded.
        """
        if self.problem is not None or tune_id in self._ends:  # Tune itself runs a trial again whose node was taken away
            return True
        try:
            stopped = self._take_in(tune_id, json.loads(message), kept, sync=sync)
        except StorageError as error:
            self.problem = error
            return True
        self.view.update()
        return stopped

    def _take_in(self, tune_id: str, events: list[Event], kept: Kept | None, *, sync: bool) -> bool:
        suggestion = self._suggestions[tune_id]
        epochs = [event for event in events if event["event"] == "epoch"]
        for event in events:
            if event["event"] == "begin":
                self._began[tune_id] = time.monotonic()
            elif event["event"] == "note":
                self._note(suggestion, event)
        if kept is not None and self._predictions is not None:
            write_kept(self._predictions, suggestion.trial_id, kept)
        if epochs:
            left_out = ("event", "trial_id", "so_far")
            rows = [{name: value for name, value in epoch.items() if name not in left_out} for epoch in epochs]
            self.ledger.append({"event": "epochs", "trial_id": suggestion.trial_id, "rows": rows})
        if sync:
            self.ledger.sync()
        for epoch in epochs:
            self._unfinished.add(suggestion.trial_id, epoch)
            self.progress.epoch(suggestion.trial_id, epoch)
            if self._falls_behind(suggestion, epoch):
                self._write_end(tune_id, suggestion, stopped_end(epoch))
                return True
        for event in events:
            if event["event"] == "end":
                self._write_end(tune_id, suggestion, event)
        return False

    def _note(self, suggestion: Suggestion, event: Event) -> None:
        """Something that the user should read; what concerns the whole run is shown once, and names no trial."""
        self.ledger.append(event)
        if not event.get("of_run"):
            self.view.note(f"{suggestion.trial_id}: {event['text']}")
        elif event["text"] not in self._said:
            self._said.add(event["text"])
            self.view.note(event["text"])

    def _falls_behind(self, suggestion: Suggestion, epoch: Event) -> bool:
        """Whether it ends here; an audited trial runs on."""
        if self._halving is None:
            return False
        decision = self._halving.judge(suggestion.arm.name, suggestion.number, epoch)
        return decision.stop and not decision.audited

    def _write_end(self, tune_id: str, suggestion: Suggestion, end: Event) -> None:
        if details := end.pop("traceback", None):
            log(f"{suggestion.trial_id} failed:\n{details}")
        stopped_at = None if self._halving is None else self._halving.stopped_at(suggestion.arm.name, suggestion.number)
        if stopped_at is not None:
            end |= {"audited": end["state"] == "complete", "state": "stopped", "stopped_at": stopped_at}
        end["trial_id"] = suggestion.trial_id  # whatever a process sent
        self.ledger.append(end, sync=True)
        self._ends[tune_id] = end

    def overdue(self) -> list[str]:
        """Tune's ids of trials that take longer than they may, each named once: their processes are to be killed."""
        if self._timeout is None:
            return []
        late = [tune_id for tune_id, began in self._began.items() if time.monotonic() - began > self._timeout]
        for tune_id in late:
            del self._began[tune_id]
        self._overdue.update(late)
        return late

    def died(self, tune_id: str, cause: str, *, details: str = "") -> None:
        """Why the process of a trial is no more, in a few words and, for the log, in all; comes before `complete`."""
        self._causes[tune_id] = cause
        log(f"{self.trial_name(tune_id)}: its process died:\n{details}")

    def complete(self, tune_id: str, *, died: bool) -> None:
        """Tune is done with a trial; its end, if it had one, is in the ledger by now."""
        suggestion = self._suggestions.pop(tune_id)
        cause, overdue = self._causes.pop(tune_id, None), tune_id in self._overdue
        self._began.pop(tune_id, None)
        self._overdue.discard(tune_id)
        try:
            if tune_id not in self._ends and not self._ended_without_word(tune_id, suggestion, died=died, overdue=overdue, cause=cause):
                return
        except StorageError as error:
            self.problem = self.problem or error
            return
        end = self._ends.pop(tune_id)
        self._unfinished.forget(suggestion.trial_id)
        self._forget(suggestion.trial_id)
        outcome = self.source.finish(suggestion, end)
        self._show_end(suggestion.trial_id, suggestion.arm.name, outcome)
        if outcome.failed:
            self.view.note(f"{suggestion.trial_id} failed: {end['error']}")
        self.view.update()

    def _ended_without_word(self, tune_id: str, suggestion: Suggestion, *, died: bool, overdue: bool, cause: str | None) -> bool:
        """Write the end of a trial that told of none; False if it is not the end: it is handed out again, or nothing can be recorded."""
        if self.problem is not None:
            return False
        # Tune itself retries nothing: it would not retry a process that dies between two trials, and the two would multiply.
        why = f" ({cause})" if cause else ""
        if died and not overdue and self._unfinished.died(suggestion.trial_id):
            self.source.give_back(suggestion)
            self.progress.drop(suggestion.trial_id)
            self.view.note(f"{suggestion.trial_id}: its process died{why}; it is started again")
            return False
        if overdue:
            reason = f"timed out: it had not ended after trial_timeout={self._timeout:g} seconds"
        elif died:
            reason = f"the trial's process died or could not start, {MAX_DEATHS + 1} times without getting further{why}; see run.log"
        else:
            reason = "the trial ended without a result; see run.log"
        spent = self._unfinished.spent(suggestion.trial_id)
        self._write_end(tune_id, suggestion, {"event": "end", "trial_id": suggestion.trial_id, **spent, **_NO_RESULT, "error": reason})
        return True

    def _show_end(self, trial_id: str | None, arm: str, outcome: Outcome) -> None:
        self.progress.end(trial_id, arm, outcome.values, stopped=outcome.share if outcome.stopped else None)


def suggest_event(suggestion: Suggestion) -> Event:
    """The ledger's record that a trial is handed out."""
    condition = suggestion.arm.condition
    return {
        "event": "suggest",
        "phase": suggestion.phase,
        "arm": suggestion.arm.name,
        "method": suggestion.arm.method,
        "condition": condition.name,
        "sampler": suggestion.arm.sampler,
        "noise_kind": condition.kind,
        "noise_rate": condition.rate if condition.exact else None,  # None: the trial counts
        "trial_id": suggestion.trial_id,
        "trial_number": suggestion.number,
        "seed": suggestion.seed,
        "params": suggestion.params,
        "confirms": suggestion.confirms,
        "replicate": suggestion.replicate,
        "noise_seed": suggestion.noise_seed,
    }


def stopped_end(epoch: Event) -> Event:
    """The `end` event of a trial that its process does not come to send: what it measured in its last epoch, which was at a rung."""
    metrics = {name: epoch[name] for name in ("val_accuracy", "val_ece", "val_nll")}
    measured: Event = {"metrics": metrics, "evaluations": [], "reliability": []}
    return {**epoch["so_far"], "event": "end", "state": "stopped", "error": None, **measured}


def trial_task(suggestion: Suggestion) -> dict[str, Any]:
    """The fields of a TrialTask."""
    shared, own = split_params(suggestion.params)
    return {
        "trial_id": suggestion.trial_id,
        "method": suggestion.arm.method,
        "condition": suggestion.arm.condition.name,
        "settings": own,
        "seed": suggestion.seed,
        "replicate": suggestion.replicate,
        "temperature": suggestion.temperature,
        **shared,
    }


_NO_RESULT: Final[Event] = {"state": "failed", "metrics": {}, "evaluations": [], "reliability": []}
