"""The confirm phase: each arm's chosen settings trained again with fresh seeds, equal in every arm, and looked at on the test split.

What is chosen follows from validation values alone. It is written into the ledger, with the time, before the first test image is sent
anywhere; from then on it stands, whatever a later version of this program would choose.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from bsd_core.errors import DataError
from studies.choose import choose_points
from studies.confirm_fields import Confirm
from studies.ledger import Event, ended_trials, own_temperature
from studies.operating_points import Candidate, recommend
from studies.outcome import Outcome, confirm_outcome
from studies.search import Suggestion
from studies.spec import Arm, StudySpec
from studies.trial_seeds import confirm_seed, noise_seed


@dataclass(frozen=True, kw_only=True)
class ChosenTrial:
    """A search trial whose settings are confirmed.

    Attributes:
        trial_id: of the search.
        arm: its arm.
        roles: in its arm, of best_accuracy, knee, best_ece and front; then, among all methods, of `OPERATING_ROLES`.
        params: its settings.
        temperature: that scaled its validation predictions.
    """

    trial_id: str
    arm: Arm
    roles: tuple[str, ...]
    params: dict[str, Any]
    temperature: float | None


class _Finished(NamedTuple):
    """A finished trial of the search, with the values that choose."""

    arm: Arm
    trial_id: str
    params: dict[str, Any]
    temperature: float | None
    accuracy: float
    ece: float

    def chosen_as(self, *roles: str) -> ChosenTrial:
        return ChosenTrial(trial_id=self.trial_id, arm=self.arm, roles=roles, params=self.params, temperature=self.temperature)


def choose_trials(spec: StudySpec, events: Iterable[Event]) -> list[ChosenTrial]:
    """What a study confirms, in the order of its arms, from the ledger of its search.

    In each arm the points that `confirm` asks for, then, unless it says otherwise, what the study's operating points name there. An arm
    with fewer finished trials than `confirm.at_most` gives what it has; one without any gives none. Baselines are not confirmed.
    """
    confirm = spec.confirm
    if confirm is None:
        return []
    arms = _finished_trials(spec, list(events))
    chosen = {arm: _own_points(confirm, trials) for arm, trials in arms.items()}
    if confirm.operating_points:
        _add_operating_points(chosen, arms, spec, confirm)
    return [trial for trials in chosen.values() for trial in trials]


def _finished_trials(spec: StudySpec, events: Sequence[Event]) -> dict[str, list[_Finished]]:
    """By compared arm, by trial number."""
    ended = {event["trial_id"]: event for event in events if event["event"] == "end" and event["state"] == "complete"}
    suggested = {event["trial_id"]: event for event in events if event["event"] == "suggest" and event["phase"] == "search"}
    arms = {arm.name: arm for arm in spec.compared_arms}
    finished: dict[str, list[_Finished]] = {arm: [] for arm in arms}
    for trial_id, trial in sorted(suggested.items(), key=lambda item: int(item[1]["trial_number"])):
        if trial["arm"] in arms and (end := ended.get(trial_id)) is not None:
            accuracy, ece = spec.targets.values(end["metrics"], where=f"The ledger's trial {trial_id}")
            found = _Finished(arms[trial["arm"]], trial_id, trial["params"], own_temperature(end), accuracy, ece)
            finished[trial["arm"]].append(found)
    return finished


def _own_points(confirm: Confirm, trials: Sequence[_Finished]) -> list[ChosenTrial]:
    """What `confirm` asks for in an arm."""
    accuracy, ece = [trial.accuracy for trial in trials], [trial.ece for trial in trials]
    points = choose_points(accuracy, ece, points=confirm.points, at_most=max(1, len(trials)))
    return _distinct([trials[point.index].chosen_as(*point.roles) for point in points])[: confirm.at_most]


def _add_operating_points(
    chosen: Mapping[str, list[ChosenTrial]], arms: Mapping[str, Sequence[_Finished]], spec: StudySpec, confirm: Confirm
) -> None:
    """Give what was chosen in its arm, or add, what the operating points name; a repeat of a chosen setting is that setting."""
    finished = {trial.trial_id: trial for trials in arms.values() for trial in trials}
    candidates = [
        Candidate(condition=trial.arm.condition.name, method=trial.arm.method, trial_id=trial_id, accuracy=trial.accuracy, ece=trial.ece)
        for trial_id, trial in finished.items()
    ]
    for point in recommend(candidates, conditions=[condition.name for condition in spec.conditions], max_ece=confirm.max_ece):
        if point.trial_id is None:
            continue
        trial = finished[point.trial_id]
        of_arm = chosen[trial.arm.name]
        place = next((place for place, other in enumerate(of_arm) if other.params == trial.params), None)
        if place is None:
            of_arm.append(trial.chosen_as(point.role))
        else:
            of_arm[place] = replace(of_arm[place], roles=(*of_arm[place].roles, point.role))


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
                temperature=own_temperature(ended[trial_id]),
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
                        seed=confirm_seed(spec.seed, replicate),
                        confirms=trial.trial_id,
                        replicate=replicate,
                        noise_seed=noise_seed(spec, trial.arm.condition, replicate),
                        temperature=trial.temperature,
                    )
                )
                numbers[trial.arm.name] += 1
        self.wanted: dict[str, int] = dict(numbers)  # trainings by arm
        self._finished: Counter[str] = Counter()

    @property
    def without_result(self) -> list[str]:
        """Arms of which settings were trained, but no training finished."""
        return [arm for arm in self.wanted if not self._finished[arm]]

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
        return self._count(suggestion, end)

    def give_back(self, suggestion: Suggestion) -> None:
        """The process of a training died: hand it out again."""
        self._running.discard(suggestion.trial_id)
        self._waiting.append(suggestion)

    def replay(self, events: Iterable[Mapping[str, Any]]) -> list[tuple[str, Outcome]]:
        """Leave out what an earlier process finished: (arm, outcome) of it."""
        ended = ended_trials(events)
        finished = [suggestion for suggestion in self._waiting if suggestion.trial_id in ended]
        self._waiting = deque(suggestion for suggestion in self._waiting if suggestion.trial_id not in ended)
        return [(suggestion.arm.name, self._count(suggestion, ended[suggestion.trial_id])) for suggestion in finished]

    def _count(self, suggestion: Suggestion, end: Mapping[str, Any]) -> Outcome:
        outcome = confirm_outcome(end)
        self._finished[suggestion.arm.name] += not outcome.failed
        return outcome
