"""How a trial ended, as its `end` event in the ledger tells; nothing here needs the search itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from bsd_core.errors import DataError
from studies.objectives import Objectives


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a trial ended.

    Attributes:
        values: finite objectives if it completed, else None.
        stopped: whether early stopping ended it; also if it was audited, so that it ran on although it had been decided.
        share: of a full training that it ran, until it was stopped.
    """

    values: tuple[float, float] | None
    stopped: bool = False
    share: Fraction = Fraction(1)

    @property
    def failed(self) -> bool:
        """Whether it neither completed nor was stopped."""
        return self.values is None and not self.stopped


def end_outcome(event: Mapping[str, Any], objectives: Objectives) -> Outcome:
    """The outcome that an `end` event of the search tells.

    Raises:
        DataError: a finished trial without one of the objectives.
    """
    if event["state"] != "complete":
        stopped, total = event["state"] == "stopped", event.get("total_epochs")  # a training that did not come to begin has no total
        ran = event["stopped_at"] if stopped else event.get("epochs", 0)
        return Outcome(values=None, stopped=stopped, share=Fraction(ran, total) if total else Fraction(0))
    return Outcome(values=objectives.values(event["metrics"], where=f"The ledger's trial {event['trial_id']}"))


def confirm_outcome(event: Mapping[str, Any]) -> Outcome:
    """The same of a training of the confirm phase: (test accuracy, test ECE), for the screen alone, since nothing is chosen by it.

    Raises:
        DataError: a finished training without one of them.
    """
    if event["state"] != "complete":
        return Outcome(values=None)
    values = [event["metrics"].get(name) for name in ("test_accuracy", "test_ece")]
    if not all(isinstance(value, int | float) for value in values):
        raise DataError(f"The ledger's trial {event['trial_id']} of the confirm phase has no test accuracy or test ECE.")
    return Outcome(values=(values[0], values[1]))
