"""The confirm phase: each arm's chosen settings trained again with fresh seeds, equal in every arm, and looked at on the test split.

What is chosen follows from validation values alone. It is written into the ledger, with the time, before the first test image is sent
anywhere; from then on it stands, whatever a later version of this program would choose.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from bsd_core.errors import DataError
from bsd_core.seeds import derive_seed
from studies.choose import choose_points
from studies.ledger import Event
from studies.prepare_confirm import noise_seed
from studies.search import Outcome, Suggestion
from studies.spec import Arm, StudySpec


@dataclass(frozen=True, kw_only=True)
class ChosenTrial:
    """A search trial whose settings are confirmed.

    Attributes:
        trial_id: of the search.
        arm: its arm.
        roles: of best_accuracy, knee, best_ece and front.
        params: its settings.
        temperature: that scaled its validation predictions.
    """

    trial_id: str
    arm: Arm
    roles: tuple[str, ...]
    params: dict[str, Any]
    temperature: float | None


def choose_trials(spec: StudySpec, events: Iterable[Event]) -> list[ChosenTrial]:
    """What a study confirms, in the order of its arms, from the ledger of its search.

    An arm with fewer finished trials than `confirm.at_most` gives what it has; one without any gives none. Baselines are not confirmed.
    """
    confirm = spec.confirm
    if confirm is None:
        return []
    events = list(events)
    ended = {event["trial_id"]: event for event in events if event["event"] == "end" and event["state"] == "complete"}
    suggested = [event for event in events if event["event"] == "suggest" and event["phase"] == "search"]
    suggested = sorted({event["trial_id"]: event for event in suggested}.values(), key=lambda event: int(event["trial_number"]))
    chosen = []
    for arm in spec.compared_arms:
        trials = [event for event in suggested if event["arm"] == arm.name and event["trial_id"] in ended]
        ends = [ended[trial["trial_id"]] for trial in trials]
        values = np.array([spec.targets.values(end["metrics"], where=f"The ledger's trial {end['trial_id']}") for end in ends])
        accuracy, ece = values.reshape(-1, 2).T
        points = choose_points(accuracy, ece, points=confirm.points, at_most=max(1, len(trials)))
        own = [
            ChosenTrial(
                trial_id=trials[point.index]["trial_id"],
                arm=arm,
                roles=point.roles,
                params=trials[point.index]["params"],
                temperature=ends[point.index].get("temperature"),
            )
            for point in points
        ]
        chosen += _distinct(own)[: confirm.at_most]
    return chosen


def _distinct(trials: list[ChosenTrial]) -> list[ChosenTrial]:
    """One trial of each setting, with the roles of all that share it: repeats of one setting differ by their seeds alone."""
    by_params: dict[tuple[tuple[str, Any], ...], ChosenTrial] = {}
    for trial in trials:
        key = tuple(sorted(trial.params.items()))
        first = by_params.setdefault(key, trial)
        roles = [role for role in dict.fromkeys((*first.roles, *trial.roles)) if role != "front"]
        by_params[key] = replace(first, roles=tuple(roles) or ("front",))
    return list(by_params.values())


def chosen_event(chosen: Iterable[ChosenTrial], *, test_fingerprint: str) -> Event:
    """The ledger's record that the choice is made and the test split opened."""
    return {
        "event": "confirm",
        "chosen": {trial.trial_id: list(trial.roles) for trial in chosen},
        "opened": datetime.now(UTC).isoformat(timespec="seconds"),
        "test_fingerprint": test_fingerprint,
    }


def already_chosen(spec: StudySpec, events: Iterable[Event]) -> list[ChosenTrial] | None:
    """What an earlier process chose; None if none did.

    Raises:
        DataError: it names a trial that the ledger does not hold.
    """
    events = list(events)
    records = [event for event in events if event["event"] == "confirm"]
    if not records:
        return None
    arms = {arm.name: arm for arm in spec.compared_arms}
    suggested = {event["trial_id"]: event for event in events if event["event"] == "suggest" and event["phase"] == "search"}
    ended = {event["trial_id"]: event for event in events if event["event"] == "end"}
    chosen = []
    for trial_id, roles in records[0]["chosen"].items():
        trial = suggested.get(trial_id)
        if trial is None or trial_id not in ended or trial["arm"] not in arms:
            raise DataError(f"The ledger confirms trial {trial_id}, which is not one of this study's: was study.yaml changed?")
        chosen.append(
            ChosenTrial(
                trial_id=trial_id,
                arm=arms[trial["arm"]],
                roles=tuple(roles),
                params=trial["params"],
                temperature=ended[trial_id].get("temperature"),
            )
        )
    return chosen


class ConfirmPhase:
    """Hands out every chosen trial once for each fresh seed.

    Seeds outermost: a phase that is cut short has few seeds of all points rather than all seeds of few. A training that fails is a result
    (with this seed these settings diverge) and is not replaced.

    Args:
        spec: the study.
        chosen: its points.
    """

    def __init__(self, spec: StudySpec, chosen: Iterable[ChosenTrial]) -> None:
        confirm = spec.confirm
        assert confirm is not None
        chosen = list(chosen)
        self._waiting: deque[Suggestion] = deque()
        self._running: set[str] = set()
        numbers: Counter[str] = Counter()
        for replicate in range(confirm.seeds):
            for trial in chosen:
                self._waiting.append(
                    Suggestion(
                        trial_id=f"{trial.trial_id}-confirm-{replicate}",
                        arm=trial.arm,
                        number=numbers[trial.arm.name],
                        params=trial.params,
                        seed=derive_seed(spec.seed, "confirm", "trial", replicate),
                        confirms=trial.trial_id,
                        replicate=replicate,
                        noise_seed=noise_seed(spec, trial.arm.condition, replicate),
                        temperature=trial.temperature,
                    )
                )
                numbers[trial.arm.name] += 1
        self.wanted: dict[str, int] = dict(numbers)  # trainings by arm

    @property
    def done(self) -> bool:
        """Whether all trainings have ended."""
        return not self._waiting and not self._running

    def next(self) -> Suggestion | None:
        """The next training, or None when all are handed out."""
        if not self._waiting:
            return None
        suggestion = self._waiting.popleft()
        self._running.add(suggestion.trial_id)
        return suggestion

    def finish(self, suggestion: Suggestion, end: Mapping[str, Any]) -> Outcome:
        """A training ended."""
        self._running.discard(suggestion.trial_id)
        return _outcome(end)

    def give_back(self, suggestion: Suggestion) -> None:
        """The process of a training died: hand it out again."""
        self._running.discard(suggestion.trial_id)
        self._waiting.append(suggestion)

    def replay(self, events: Iterable[Mapping[str, Any]]) -> list[tuple[str, Outcome]]:
        """Leave out what an earlier process finished: (arm, outcome) of it."""
        ended = {event["trial_id"]: event for event in events if event["event"] == "end"}
        finished = [suggestion for suggestion in self._waiting if suggestion.trial_id in ended]
        self._waiting = deque(suggestion for suggestion in self._waiting if suggestion.trial_id not in ended)
        return [(suggestion.arm.name, _outcome(ended[suggestion.trial_id])) for suggestion in finished]


def _outcome(end: Mapping[str, Any]) -> Outcome:
    """(test accuracy, test ECE), for the screen alone: nothing is chosen by it."""
    if end["state"] != "complete":
        return Outcome(values=None)
    return Outcome(values=(end["metrics"]["test_accuracy"], end["metrics"]["test_ece"]))
