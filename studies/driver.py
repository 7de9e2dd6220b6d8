"""What stands between Ray Tune and the study: every message goes to the ledger first, then to the search, then to the view."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

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
    """

    def __init__(
        self, source: TrialSource, ledger: Ledger, progress: StudyProgress, view: View, *, predictions: Path | None = None
    ) -> None:
        self.source, self.ledger, self.progress, self.view = source, ledger, progress, view
        self._predictions = predictions
        self._suggestions: dict[str, Suggestion] = {}  # by Tune's id of the trial
        self._ends: dict[str, Event] = {}
        self._deaths: Counter[str] = Counter()  # by our id: processes that a trial lost for good

    def replay(self, events: list[Event]) -> None:
        """Take in an earlier process's ledger."""
        for arm, outcome in self.source.replay(events):
            self.progress.end(None, arm, outcome.values)

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

    def receive(self, tune_id: str, message: str, predictions: list[Prediction] | None = None) -> None:
        """Events of a trial, as its process sent them, and its predictions, which are on the disk before its end is."""
        if predictions and self._predictions is not None:
            write_predictions(self._predictions / f"{self.trial_name(tune_id)}.parquet", predictions)
        epochs = []
        for event in json.loads(message):
            if event["event"] == "epoch":
                epochs.append({name: value for name, value in event.items() if name not in ("event", "trial_id")})
                self.progress.epoch(event["trial_id"], event)
            else:
                self._write_epochs(tune_id, epochs)
                self._write_end(tune_id, event)
                epochs = []
        self._write_epochs(tune_id, epochs)
        self.view.update()

    def _write_epochs(self, tune_id: str, rows: list[Event]) -> None:
        if rows:
            self.ledger.append({"event": "epochs", "trial_id": self.trial_name(tune_id), "rows": rows})

    def _write_end(self, tune_id: str, event: Event) -> None:
        if details := event.pop("traceback", None):
            print(f"{event['trial_id']} failed:\n{details}", flush=True)  # to run.log
        self.ledger.append(event, sync=True)
        self._ends[tune_id] = event

    def complete(self, tune_id: str, *, died: bool) -> None:
        """Tune is done with a trial; its end, if it had one, is in the ledger by now."""
        suggestion = self._suggestions.pop(tune_id)
        if tune_id not in self._ends:
            # Tune retries a process that dies while it trains, but not one that dies between two trials; so we do, too.
            self._deaths[suggestion.trial_id] += died
            if died and self._deaths[suggestion.trial_id] <= _RETRIES:
                self.source.give_back(suggestion)
                self.progress.drop(suggestion.trial_id)
                self.view.note(f"{suggestion.trial_id}: its process died; it starts again")
                return
            reason = "the trial's process died or could not start, more often than it may" if died else "the trial ended without a result"
            self._write_end(tune_id, {"event": "end", "trial_id": suggestion.trial_id, **_NO_RESULT, "error": f"{reason}; see run.log"})
        end = self._ends.pop(tune_id)
        outcome = self.source.finish(suggestion, end)
        self.progress.end(suggestion.trial_id, suggestion.arm.name, outcome.values)
        if outcome.values is None:
            self.view.note(f"{suggestion.trial_id} failed: {end['error']}")
        self.view.update()


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


_RETRIES = 3
_NO_RESULT: Event = {"state": "failed", "epochs": 0, "train_seconds": 0.0, "metrics": {}, "evaluations": [], "reliability": []}
