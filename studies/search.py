"""Many Optuna studies behind one Ray Tune experiment: one in-memory study an arm, equal budgets, nothing here knows Ray.

The sampler of every suggestion is seeded by (study seed, arm, number), so a suggestion is a function of the arm's history alone: a
search that is interrupted and rebuilt from its ledger goes on as if nothing had happened. While there are at least as many arms as
slots, an arm waits for its last trial before it asks for the next, so a history does not depend on timing and a study repeats exactly.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState

from bsd_core.errors import DataError
from bsd_core.methods import get_method
from bsd_core.seeds import derive_seed
from search_spaces import SHARED, Settings, get_search_space
from studies.arm_space import constant_settings, is_within, searched_settings
from studies.ledger import ended_trials
from studies.objectives import DIRECTIONS
from studies.optuna_journal import JournalInMemory
from studies.outcome import Outcome, end_outcome
from studies.search_memory import SearchMemory
from studies.spec import Arm, StudySpec
from studies.spending import Spending
from studies.trial_seeds import search_seed

optuna.logging.set_verbosity(optuna.logging.CRITICAL)


@dataclass(frozen=True, kw_only=True)
class ArmSpace:
    """What is searched in one arm and what is not.

    Attributes:
        searched: distributions of the searched settings.
        constant: settings every trial of the arm has.
        published: points tried first, as searched settings only, without repeats.
    """

    searched: dict[str, BaseDistribution]
    constant: Settings
    published: tuple[Settings, ...]

    @classmethod
    def of(cls, spec: StudySpec, method: str) -> ArmSpace:
        """The arm's space after the study's `search_space` and `fixed`."""
        constant, searched = constant_settings(spec, method), searched_settings(spec, method)
        starts = get_search_space(method).starts(spec.optimizer)
        published: list[Settings] = []
        defaults = vars(get_method(method).Config())  # for what the literature did not know as a setting
        for point in ({**defaults, **point} for point in starts):
            free = {name: value for name, value in point.items() if name in searched}
            if free and free not in published:
                published.append(free)
        return cls(searched=searched, constant=constant, published=tuple(published))

    def holds(self, params: Settings) -> bool:
        """Whether a trial of this arm can have these settings."""
        return all(name in params and is_within(space, params[name]) for name, space in self.searched.items())


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """One trial to run.

    Attributes:
        trial_id: unique in the run.
        arm: whose budget it is.
        number: within arm and phase, from 0.
        params: method settings, learning_rate and weight_decay.
        seed: of the training.
        confirms: in the confirm phase, the search trial whose settings these are.
        replicate: in the confirm phase, which of the fresh seeds, from 0.
        noise_seed: in the confirm phase, of the wrong labels, where they are drawn anew.
        temperature: in the confirm phase, of the confirmed trial; for networks that leave no image to fit one on.
    """

    trial_id: str
    arm: Arm
    number: int
    params: dict[str, Any]
    seed: int
    confirms: str | None = None
    replicate: int | None = None
    noise_seed: int | None = None
    temperature: float | None = None

    @property
    def phase(self) -> str:
        """search or confirm."""
        return "search" if self.confirms is None else "confirm"


class ArmSearch:
    """The search of one arm.

    When it is over, `Spending` says.

    What a suggestion costs is bounded: it follows from the arm's newest 500 trials that ended, and from up to 50 older ones that no
    trial beats (see `search_memory`); from all of them while there are no more.
    """

    def __init__(self, arm: Arm, spec: StudySpec) -> None:
        self.arm, self.n_trials, self._seed = arm, spec.trials, spec.seed
        self.space = ArmSpace.of(spec, arm.method)
        self._memory = SearchMemory()
        self.study = optuna.create_study(study_name=arm.name, directions=list(DIRECTIONS), storage=self._memory)
        self.issued = 0
        self.budget = Spending.of(spec)
        self._open: dict[int, int] = {}  # our number -> Optuna's
        self._parked: dict[int, int] = {}  # the same, of trials that were given back
        self._again: deque[tuple[int, dict[str, Any]]] = deque()

    @property
    def running(self) -> int:
        """Trials handed out and not yet told."""
        return len(self._open)

    @property
    def wants_more(self) -> bool:
        """Whether another trial should be started now."""
        return bool(self._again) or self.budget.begins_one_more(self.running)

    @property
    def gave_up(self) -> bool:
        """Whether it ended for its failures, with budget left."""
        return self.budget.gave_up(self.running)

    def ask(self) -> Suggestion:
        """The next trial: one that was interrupted, else the next published point, else what Optuna suggests."""
        if not self._again:
            return self._ask_anew()
        number, params = self._again.popleft()
        if number in self._parked:
            self._open[number] = self._parked.pop(number)
            return self._suggestion(number, params)
        return self._begin(number, {name: params[name] for name in self.space.searched})

    def _ask_anew(self) -> Suggestion:
        number, self.issued = self.issued, self.issued + 1
        return self._begin(number, self.space.published[number] if number < len(self.space.published) else None)

    def _begin(self, number: int, enqueued: Settings | None) -> Suggestion:
        if enqueued:
            self.study.enqueue_trial(dict(enqueued))
        self.study.sampler = self._sampler(derive_seed(self._seed, "sampler", self.arm.name, number) % 2**32)
        with self._memory.asking(self.study):
            trial = self.study.ask(self.space.searched)
        for name, value in self._attributes(number).items():
            trial.set_user_attr(name, value)
        self._open[number] = trial.number
        return self._suggestion(number, {**self.space.constant, **trial.params})

    def _sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        if self.arm.sampler == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(len(self.space.published) + 1, min(10, self.n_trials // 3)))

    def tell(self, number: int, outcome: Outcome) -> None:
        """Record how trial `number` ended."""
        self.study.tell(self._open.pop(number), None if outcome.values is None else list(outcome.values), state=_optuna_state(outcome))
        self.budget.count(outcome)

    def give_back(self, number: int, params: dict[str, Any]) -> None:
        """The process of trial `number` died: hand it out again as it was, as the same Optuna trial."""
        self._parked[number] = self._open.pop(number)
        self._again.append((number, params))

    def replay(self, number: int, params: dict[str, Any], outcome: Outcome | None) -> None:
        """Take in a trial of an earlier process: finished, or (None) interrupted and to be run again with the same settings."""
        self.issued = max(self.issued, number + 1)
        if outcome is None:
            self._again.append((number, params))
            return
        self.budget.count(outcome)
        searched = {name: params[name] for name in self.space.searched}
        self.study.add_trial(
            optuna.trial.create_trial(
                state=_optuna_state(outcome),
                params=searched,
                distributions=self.space.searched,
                values=None if outcome.values is None else list(outcome.values),
                user_attrs=self._attributes(number),
            )
        )

    def replay_unknown(self) -> None:
        """Take in that a trial was handed out of which nothing can be read: what its history suggests again is run again."""
        suggestion = self._ask_anew()
        self.give_back(suggestion.number, suggestion.params)

    def _attributes(self, number: int) -> dict[str, Any]:
        """What the Optuna export says of a trial besides its settings and values."""
        return {"number": number, "source": "published" if number < len(self.space.published) else "sampler"}

    def _suggestion(self, number: int, params: dict[str, Any]) -> Suggestion:
        return Suggestion(
            trial_id=f"{self.arm.name.replace('/', '-')}-{number:04d}",
            arm=self.arm,
            number=number,
            params=params,
            seed=search_seed(self._seed, number),
        )


@dataclass
class StudySearch:
    """The searches of all arms, handed out so that every arm gets the same budget.

    Args:
        spec: the study.
        slots: trials that can run at once.
    """

    spec: StudySpec
    slots: int
    arms: dict[str, ArmSearch] = field(init=False)

    def __post_init__(self) -> None:
        self.arms = {arm.name: ArmSearch(arm, self.spec) for arm in self.spec.arms}

    @property
    def repeatable(self) -> bool:
        """Whether suggestions are independent of timing: each arm then runs one trial at a time."""
        return self.slots <= len(self.arms)

    @property
    def done(self) -> bool:
        """Whether every arm has its finished trials, or gave up, and nothing runs."""
        return not any(arm.wants_more or arm.running for arm in self.arms.values())

    def next(self) -> Suggestion | None:
        """The next trial, or None while all that is left depends on running trials.

        The arm with the fewest trials in flight goes first, then the one that has spent least, then the study's order.
        """
        waiting = [arm for arm in self.arms.values() if arm.wants_more and not (self.repeatable and arm.running)]
        if not waiting:
            return None
        return min(waiting, key=lambda arm: (arm.running, arm.budget.spent + arm.budget.failed + arm.running)).ask()

    def tell(self, arm: str, number: int, outcome: Outcome) -> None:
        """Record how a trial ended."""
        self.arms[arm].tell(number, outcome)

    def finish(self, suggestion: Suggestion, end: Mapping[str, Any]) -> Outcome:
        """Record the `end` event of a trial; what it means."""
        outcome = end_outcome(end, self.spec.targets)
        self.tell(suggestion.arm.name, suggestion.number, outcome)
        return outcome

    def give_back(self, suggestion: Suggestion) -> None:
        """The process of a trial died: hand it out again as it was."""
        self.arms[suggestion.arm.name].give_back(suggestion.number, suggestion.params)

    def replay(self, events: Iterable[Mapping[str, Any]]) -> list[tuple[str, Outcome]]:
        """Take in a ledger: trials that ended count, in each arm's order; trials that did not will be handed out again, as they were.

        A number that is missing in an arm is of a trial whose line could not be read; it is suggested again where it was.

        Returns:
            (arm, outcome) of the trials that ended.

        Raises:
            DataError: a trial is of an arm, or lacks a setting or an objective, of this study, or has a setting outside of its range.
        """
        events = [event for event in events if event["event"] in ("suggest", "end")]  # epochs may be too many to be held at once
        ended = ended_trials(events)
        suggested = {event["trial_id"]: event for event in events if event["event"] == "suggest" and event["phase"] == "search"}
        outcomes = []
        for trial_id, event in sorted(suggested.items(), key=lambda item: int(item[1]["trial_number"])):
            outcome = end_outcome(ended[trial_id], self.spec.targets) if trial_id in ended else None
            arm = self.arms.get(event["arm"])
            missing = 0 if arm is None else event["trial_number"] - arm.issued
            if arm is None or not arm.space.holds(event["params"]) or missing > len(events):
                raise DataError(f"The ledger's trial {trial_id} does not belong to this study: was study.yaml changed? Start a new run.")
            for _ in range(missing):
                arm.replay_unknown()
            arm.replay(event["trial_number"], event["params"], outcome)
            if outcome is not None:
                outcomes.append((event["arm"], outcome))
        return outcomes


def _optuna_state(outcome: Outcome) -> TrialState:
    """Of a pruned trial TPE learns where not to look, and that it has no values."""
    return TrialState.PRUNED if outcome.stopped else TrialState.FAIL if outcome.values is None else TrialState.COMPLETE


def split_params(params: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """Trial settings -> (shared, the method's own)."""
    shared = {name: value for name, value in params.items() if name in SHARED}
    return shared, {name: value for name, value in params.items() if name not in SHARED}


def export_journal(search: StudySearch, path: Path) -> None:
    """Write all studies as an Optuna journal: `optuna-dashboard <path>` opens it. Interrupted trials are left out.

    Args:
        search: of a run.
        path: a local file.

    Raises:
        StorageError: it cannot be written.
    """
    search_journal(search).write(path)


def search_journal(search: StudySearch) -> JournalInMemory:
    """All studies as an Optuna journal; interrupted trials are left out."""
    journal = JournalInMemory()
    storage = journal.storage()
    for arm in search.arms.values():
        study = optuna.create_study(study_name=arm.arm.name, directions=list(DIRECTIONS), storage=storage)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(list(search.spec.targets))
        study.add_trials([trial for trial in arm.study.get_trials(deepcopy=False) if trial.state.is_finished()])
    return journal
