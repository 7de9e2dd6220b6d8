"""What stands between Ray Tune and the study: every message goes to the ledger first, then to the search, then to the view."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from studies.halving import ParetoHalving
from studies.ledger import Event, Ledger
from studies.predictions import Prediction, write_predictions
from studies.progress import StudyProgress, View
from studies.search import Outcome, Suggestion, split_params


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
        predictions: folder for the logits that trials send; without one they are dropped.
        halving: ends trials early; without one all train to their end.
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
    ) -> None:
        self.source, self.ledger, self.progress, self.view = source, ledger, progress, view
        self._predictions, self._halving = predictions, halving
        self._suggestions: dict[str, Suggestion] = {}  # by Tune's id of the trial
        self._ends: dict[str, Event] = {}
        self._deaths: Counter[str] = Counter()  # by our id: processes that a trial lost
        self._spent: dict[str, Event] = {}  # by Tune's id: what a running trial has come to

    def replay(self, events: list[Event]) -> None:
        """Take in an earlier process's ledger."""
        for arm, outcome in self.source.replay(events):
            self._show_end(None, arm, outcome)
        if self._halving is not None:
            self._halving.replay(events)

    def suggest(self, tune_id: str) -> dict[str, Any] | None:
        """The configuration of one more trial, or None while there is nothing to start."""
        suggestion = self.source.next()
        if suggestion is None:
            return None
        self._suggestions[tune_id] = suggestion
        condition = suggestion.arm.condition
        self.ledger.append(
            {
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
        )
        self.progress.start(suggestion)
        self.view.update()
        return {"task": trial_task(suggestion)}

    def trial_name(self, tune_id: str) -> str:
        """Our id of a trial."""
        return self._suggestions[tune_id].trial_id

    def receive(self, tune_id: str, message: str, predictions: list[Prediction] | None = None) -> bool:
        """Events of a trial, as its process sent them, and its predictions, which are on the disk before its end is.

        Returns:
            Whether the trial is to be stopped: its end is then in the ledger, and nothing more is expected of it.
        """
        suggestion = self._suggestions[tune_id]
        if predictions and self._predictions is not None:
            write_predictions(self._predictions / f"{suggestion.trial_id}.parquet", predictions)
        events = json.loads(message)
        epochs = [event for event in events if event["event"] == "epoch"]
        if epochs:
            left_out = ("event", "trial_id", "so_far")
            rows = [{name: value for name, value in epoch.items() if name not in left_out} for epoch in epochs]
            self.ledger.append({"event": "epochs", "trial_id": suggestion.trial_id, "rows": rows})
        for epoch in epochs:
            self._spend(tune_id, epoch)
            self.progress.epoch(suggestion.trial_id, epoch)
            if self._falls_behind(suggestion, epoch):
                self._write_end(tune_id, suggestion, stopped_end(epoch))
                return True
        for end in events[len(epochs) :]:
            self._write_end(tune_id, suggestion, end)
        self.view.update()
        return False

    def _spend(self, tune_id: str, epoch: Event) -> None:
        """Keep count for a trial whose process will not come to tell."""
        spent = self._spent.setdefault(tune_id, {"train_seconds": 0.0, "images_seen": 0})
        spent |= {"epochs": epoch["epoch"], "total_epochs": epoch.get("epochs")}
        spent["train_seconds"] += epoch["seconds"]
        spent["images_seen"] += epoch["images_seen"]

    def _falls_behind(self, suggestion: Suggestion, epoch: Event) -> bool:
        """Whether it ends here; an audited trial runs on."""
        if self._halving is None:
            return False
        decision = self._halving.judge(suggestion.arm.name, suggestion.number, epoch)
        return decision.stop and not decision.audited

    def _write_end(self, tune_id: str, suggestion: Suggestion, end: Event) -> None:
        if details := end.pop("traceback", None):
            print(f"{suggestion.trial_id} failed:\n{details}", flush=True)  # to run.log
        stopped_at = None if self._halving is None else self._halving.stopped_at(suggestion.arm.name, suggestion.number)
        if stopped_at is not None:
            end |= {"audited": end["state"] == "complete", "state": "stopped", "stopped_at": stopped_at}
        self.ledger.append(end, sync=True)
        self._ends[tune_id] = end

    def complete(self, tune_id: str, *, died: bool) -> None:
        """Tune is done with a trial; its end, if it had one, is in the ledger by now."""
        suggestion = self._suggestions.pop(tune_id)
        if tune_id not in self._ends:
            # Tune itself retries nothing: it would not retry a process that dies between two trials, and the two would multiply.
            self._deaths[suggestion.trial_id] += died
            if died and self._deaths[suggestion.trial_id] <= MAX_RETRIES:
                self._spent.pop(tune_id, None)
                self.source.give_back(suggestion)
                self.progress.drop(suggestion.trial_id)
                self.view.note(f"{suggestion.trial_id}: its process died; it starts again")
                return
            reason = "the trial's process died or could not start, more often than it may" if died else "the trial ended without a result"
            spent = _NO_RESULT | self._spent.get(tune_id, {})
            end = {"event": "end", "trial_id": suggestion.trial_id, **spent, "error": f"{reason}; see run.log"}
            self._write_end(tune_id, suggestion, end)
        end = self._ends.pop(tune_id)
        self._spent.pop(tune_id, None)
        outcome = self.source.finish(suggestion, end)
        self._show_end(suggestion.trial_id, suggestion.arm.name, outcome)
        if outcome.failed:
            self.view.note(f"{suggestion.trial_id} failed: {end['error']}")
        self.view.update()

    def _show_end(self, trial_id: str | None, arm: str, outcome: Outcome) -> None:
        self.progress.end(trial_id, arm, outcome.values, stopped=outcome.share if outcome.stopped else None)


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


MAX_RETRIES: Final = 3  # of a trial whose process died; expected failures do not kill it
_NO_RESULT: Event = {"state": "failed", "epochs": 0, "train_seconds": 0.0, "metrics": {}, "evaluations": [], "reliability": []}
