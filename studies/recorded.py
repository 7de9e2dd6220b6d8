"""What a ledger holds of one trial, and whether a training gave the same numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bsd_core.errors import ConfigError
from studies.commands import command
from studies.ledger import Event, own_temperature
from studies.remote_folder import RemoteFolder
from studies.search import split_params
from studies.tally import same
from studies.trial_data import TrialTask

# Columns that tell of the machine and the moment, are names, or hold other columns.
_INCIDENTAL: Final = frozenset(
    [
        *("event", "trial_id", "node", "pid", "device", "seconds", "train_seconds", "evaluate_seconds", "images_per_second"),
        *("state", "stopped_at", "audited", "error", "traceback", "metrics", "evaluations", "reliability", "kept", "so_far"),
    ]
)
_PLACE: Final = ("split", "shift", "name", "severity", "bin")


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What a ledger holds of one trial.

    Attributes:
        suggest: its settings and seed.
        epochs: rows of its epochs, in order.
        end: how it ended.
        temperature: confirm trials: that of the trial it confirms.
    """

    suggest: Event
    epochs: list[Event]
    end: Event
    temperature: float | None

    @property
    def trial_id(self) -> str:
        """Unique in its run."""
        return str(self.suggest["trial_id"])

    @property
    def cut_short(self) -> bool:
        """Whether early stopping ended it; an audited trial ran on to its end."""
        return self.end["state"] == "stopped" and not self.end.get("audited", False)

    @property
    def task(self) -> TrialTask:
        """What it was told."""
        shared, own = split_params(self.suggest["params"])
        return TrialTask(
            trial_id=self.trial_id,
            method=self.suggest["method"],
            condition=self.suggest["condition"],
            settings=own,
            seed=self.suggest["seed"],
            replicate=self.suggest.get("replicate"),
            temperature=self.temperature,
            **shared,
        )


def recorded_trial(events: Sequence[Event], trial_id: str, *, run: Path | RemoteFolder) -> Recorded:
    """All that a ledger says of a trial; of one that was interrupted and run again, the last word.

    Args:
        events: of the ledger.
        trial_id: of a trial that was suggested.
        run: where the run's results are, for the message.

    Raises:
        ConfigError: the trial has not ended.
    """
    suggest = next(event for event in events if event["event"] == "suggest" and event["trial_id"] == trial_id)
    ends = {event["trial_id"]: event for event in events if event["event"] == "end"}
    if trial_id not in ends:
        raise ConfigError(f"Trial {trial_id} has not ended, so there is nothing to compare with. Finish it: {command('resume', run)}")
    rows = {row["epoch"]: row for event in events if event["event"] == "epochs" and event["trial_id"] == trial_id for row in event["rows"]}
    confirmed = ends.get(suggest.get("confirms"))
    return Recorded(
        suggest=suggest,
        epochs=[rows[epoch] for epoch in sorted(rows)],
        end=ends[trial_id],
        temperature=None if confirmed is None else own_temperature(confirmed),
    )


def numbers_of(epochs: Sequence[Event], end: Event) -> dict[str, Any]:
    """Every number that a trial measured or counted, by its name, in the order in which they came to be; no times.

    Args:
        epochs: rows of its epochs.
        end: its `end` event.
    """
    numbers = {f"epoch {row['epoch']}, {name}": value for row in epochs for name, value in row.items() if name not in _INCIDENTAL}
    numbers |= {name: value for name, value in end.items() if name not in _INCIDENTAL}
    for kind in ("evaluations", "reliability"):
        for row in end[kind]:
            place = " ".join(str(row[name]) for name in _PLACE[:-1]) + (f" bin {row['bin']}" if kind == "reliability" else "")
            numbers |= {f"{place}, {name}": value for name, value in row.items() if name not in _PLACE}
    return {**numbers, **end["metrics"]}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Recorded numbers against those of now.

    Attributes:
        n: numbers compared.
        different: (name, recorded, now) of those that are not the same to the last bit, in order; None now is a missing one.
    """

    n: int
    different: list[tuple[str, Any, Any]]

    @property
    def largest(self) -> float | None:
        """The largest relative difference; None where a difference is not one of two numbers."""
        ratios = [
            abs(now - then) / max(abs(now), abs(then)) if isinstance(then, int | float) and isinstance(now, int | float) else math.inf
            for _, then, now in self.different
        ]
        return max(ratios) if ratios and math.isfinite(max(ratios)) else None


def compare(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> Comparison:
    """Compare what was recorded; what only a newer version of this program measures is left out."""
    return Comparison(
        n=len(recorded), different=[(name, value, now.get(name)) for name, value in recorded.items() if not same(value, now.get(name))]
    )
