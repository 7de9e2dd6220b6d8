"""How far a run is, counted from the events of its ledger, one at a time; nothing is searched, trained or read beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from statistics import fmean
from typing import Any

from studies.outcome import Outcome, confirm_outcome, end_outcome
from studies.spec import StudySpec
from studies.spending import Spending

Event = Mapping[str, Any]


@dataclass
class ArmState:
    """One arm's search so far.

    Attributes:
        budget: what it spent.
        seconds: of each finished trial, training and evaluation.
    """

    budget: Spending
    seconds: list[float] = field(default_factory=list)

    def count(self, outcome: Outcome, seconds: float | None) -> None:
        """A trial ended."""
        self.budget.count(outcome)
        if outcome.values is not None and seconds is not None:
            self.seconds.append(seconds)


class RunState:
    """How far a run is.

    Args:
        spec: its study.

    Attributes:
        arms: by name, baselines too.
        to_confirm: by arm, trainings of the confirm phase; None until settings are chosen.
        n_confirmed: of these, those that ended.
        test_opened: when settings were chosen, as the ledger has it.
    """

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec
        self.arms = {arm.name: ArmState(Spending.of(spec)) for arm in spec.arms}
        self.to_confirm: dict[str, int] | None = None
        self.n_confirmed = 0
        self.test_opened: str | None = None
        self._confirmed_by_arm = dict.fromkeys(self.arms, 0)  # trainings that finished
        self._confirm_seconds: list[float] = []
        self._suggested: dict[str, tuple[str, str]] = {}  # by trial: phase and arm
        self._ended: set[str] = set()

    def take(self, event: Event) -> Outcome | None:
        """Count one event; of the end of a trial of this study, the first time that it ends, how it ended.

        Raises:
            DataError: a finished trial lacks what the study looks for.
        """
        match event["event"]:
            case "suggest" if event["arm"] in self.arms:
                self._suggested[event["trial_id"]] = (event["phase"], event["arm"])
            case "confirm" if self.to_confirm is None and self._spec.confirm is not None:
                arms = [self._suggested[trial_id][1] for trial_id in event["chosen"] if trial_id in self._suggested]
                self.to_confirm = {arm: arms.count(arm) * self._spec.confirm.seeds for arm in self.arms if arm in arms}
                self.test_opened = event["opened"]
            case "end" if event["trial_id"] in self._suggested and event["trial_id"] not in self._ended:
                return self._end(event)
        return None

    def arm_of(self, trial_id: str) -> str | None:
        """The arm of a trial that was handed out."""
        return self._suggested[trial_id][1] if trial_id in self._suggested else None

    def is_open(self, trial_id: str) -> bool:
        """Whether a trial was handed out and has not ended."""
        return trial_id in self._suggested and trial_id not in self._ended

    def _end(self, event: Event) -> Outcome:
        phase, arm = self._suggested[event["trial_id"]]
        seconds = event.get("train_seconds")
        seconds = None if seconds is None else seconds + (event.get("evaluate_seconds") or 0)
        if phase == "search":
            outcome = end_outcome(event, self._spec.targets)
            self.arms[arm].count(outcome, seconds)
        else:
            outcome = confirm_outcome(event)
            self.n_confirmed += 1
            self._confirmed_by_arm[arm] += not outcome.failed
            self._confirm_seconds += [seconds] if seconds is not None and not outcome.failed else []
        self._ended.add(event["trial_id"])
        return outcome

    @property
    def n_trials(self) -> Fraction:
        """Of `n_wanted`: finished trials, or with early stopping trainings that were spent."""
        return sum((arm.budget.spent for arm in self.arms.values()), Fraction(0))

    @property
    def n_wanted(self) -> int:
        """Finished trials of the search, or full trainings."""
        return sum(arm.budget.wanted for arm in self.arms.values())

    @property
    def n_failed(self) -> int:
        """Failed trials of the search."""
        return sum(arm.budget.failed for arm in self.arms.values())

    @property
    def searched(self) -> bool:
        """Whether the search is over."""
        open_trials = any(phase == "search" and self.is_open(trial_id) for trial_id, (phase, _) in self._suggested.items())
        return not open_trials and not any(arm.budget.begins_one_more() for arm in self.arms.values())

    @property
    def complete(self) -> bool:
        """Whether nothing is left to train."""
        if not self.searched or self._spec.confirm is None:
            return self.searched
        if self.to_confirm is None:  # where no trial finished, there is nothing to choose, and the test split stays closed
            return not any(self.arms[arm.name].budget.completed for arm in self._spec.compared_arms)
        return self.n_confirmed >= sum(self.to_confirm.values())

    @property
    def without_result(self) -> list[str]:
        """Arms of a complete run that gave up, or of which no confirmed setting came through."""
        confirmed = self.to_confirm or {}
        return [name for name, arm in self.arms.items() if arm.budget.gave_up() or (name in confirmed and not self._confirmed_by_arm[name])]

    def seconds_left(self, slots: int) -> float | None:
        """What the phase that the run is in will take, by the mean duration of the trials that finished; None before there is one.

        Args:
            slots: trials that run at once.
        """
        durations = [seconds for arm in self.arms.values() for seconds in arm.seconds]
        if self.to_confirm is not None:
            known = self._confirm_seconds or durations
            missing = max(0, sum(self.to_confirm.values()) - self.n_confirmed)
            return missing * fmean(known) / max(1, min(slots, missing)) if known else None
        if not durations:
            return None
        waiting = {name: arm for name, arm in self.arms.items() if arm.budget.begins_one_more()}
        work = sum(float(arm.budget.wanted - arm.budget.spent) * fmean(arm.seconds or durations) for arm in waiting.values())
        return work / max(1, slots)
