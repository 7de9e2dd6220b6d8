"""What trials that have not ended have come to, as the driver has heard of it: it must tell where their processes no longer can."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

MAX_DEATHS: Final = 3  # of a trial's processes before it gets further; expected failures of a training do not kill any


class _Epoch(NamedTuple):
    total: int | None
    seconds: float
    images_seen: int


@dataclass
class Unfinished:
    """By the trial's id; what an ended trial has come to is for its `end` to say."""

    _epochs: defaultdict[str, dict[int, _Epoch]] = field(default_factory=lambda: defaultdict(dict), init=False)
    _deaths: Counter[str] = field(default_factory=Counter, init=False)

    def replay(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take in an earlier process's ledger."""
        waiting: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for event in events:
            if event["event"] == "epochs":
                waiting[event["trial_id"]].append(event)
            elif event["event"] == "end":
                waiting.pop(event["trial_id"], None)
        for trial_id, told in waiting.items():
            for row in (row for event in told for row in event["rows"]):
                self.add(trial_id, row)

    def add(self, trial_id: str, row: Mapping[str, Any]) -> None:
        """A trial has finished an epoch; one that it tells of again, after its process died, counts once."""
        epochs = self._epochs[trial_id]
        if row["epoch"] not in epochs:
            self._deaths.pop(trial_id, None)
        epochs[row["epoch"]] = _Epoch(row.get("epochs"), row["seconds"], row["images_seen"])

    def died(self, trial_id: str) -> bool:
        """A trial's process died; whether the trial is to be started again.

        Only deaths without progress count: on borrowed machines a long training may lose any number of processes.
        """
        self._deaths[trial_id] += 1
        return self._deaths[trial_id] <= MAX_DEATHS

    def spent(self, trial_id: str) -> dict[str, Any]:
        """What a trial has spent, for an `end` that its process did not send."""
        epochs = self._epochs[trial_id]
        return {
            "epochs": max(epochs, default=0),
            "total_epochs": next((epoch.total for epoch in epochs.values()), None),
            "train_seconds": sum((epoch.seconds for epoch in epochs.values()), 0.0),
            "images_seen": sum(epoch.images_seen for epoch in epochs.values()),
        }

    def forget(self, trial_id: str) -> None:
        """A trial has ended."""
        self._epochs.pop(trial_id, None)
        self._deaths.pop(trial_id, None)
