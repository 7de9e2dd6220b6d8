"""The thin adapters that make Ray Tune run our search; the only file that imports Tune, beside trial.py.

Tune pickles searcher and stopper into its snapshots. Ours carry nothing: the ledger is the truth, so a snapshot needs no state.

Early stopping is a Tune stopper and no scheduler: a stopper hears of a result before anyone else, gets the result itself and not a copy,
and need not name one metric to decide by.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import ray
from ray import tune
from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution import tune_controller
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from bsd_core.errors import one_line
from studies.driver import StudyDriver
from studies.trial import Shared, run_trial
from studies.trial_data import SearchData, TestData, TrialSettings


class _Stateless:
    """Pickles to an empty shell and is never copied: snapshots of Tune must not hold the driver."""

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self


class ArmsSearcher(_Stateless, Searcher):  # type: ignore[misc]
    """Asks the driver for every trial and tells it every end."""

    def __init__(self, driver: StudyDriver, actors: dict[str, Any]) -> None:
        super().__init__(metric=None, mode=None)
        self._driver, self._actors = driver, actors

    def suggest(self, trial_id: str) -> Any:
        """The next configuration, None to wait, or FINISHED."""
        config = self._driver.suggest(trial_id)
        return config if config is not None else Searcher.FINISHED if self._driver.source.done else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial is over."""
        self._actors.pop(trial_id, None)
        self._driver.complete(trial_id, died=error)

    def set_search_properties(self, *args: Any, **kwargs: Any) -> bool:
        """The objectives are the driver's own."""
        return True

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class LedgerStopper(_Stateless, Stopper):  # type: ignore[misc]
    """Passes every message of a trial on, before anyone else hears of it, and stops the trial if the driver says so.

    Tune asks it in every round of its loop, so it also looks at the clock: trials that are overdue are killed from outside, since one that
    hangs cannot be asked.
    """

    def __init__(self, driver: StudyDriver, actors: dict[str, Any]) -> None:
        self._driver, self._actors = driver, actors

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Take the events out of the result, so that Tune does not carry them along."""
        message, kept = result.pop("events", None), result.pop("kept", None)
        if (actor := result.pop("actor", None)) is not None:
            self._actors[trial_id] = actor
        if message is None:
            return False
        return self._driver.receive(trial_id, message, kept, sync=result.pop("sync", False))

    def stop_all(self) -> bool:
        """The searcher says when all is done; here, whether nothing more can be recorded."""
        for trial_id in self._driver.overdue():
            ray.kill(self._actors[trial_id])
        return self._driver.problem is not None


class DeathNotes(_Stateless, FIFOScheduler):  # type: ignore[misc]
    """Starts trials as they come, reads why a trial's process died before the searcher is told that it did, and lightens those that end."""

    def __init__(self, driver: StudyDriver) -> None:
        super().__init__()
        self._driver = driver

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """A process is gone."""
        text = _last_error(trial)
        self._driver.died(trial.trial_id, death_cause(text), details=text)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Tune keeps running means of every number of every result to the end of the run; nothing here reads them."""
        trial.run_metadata.metric_analysis = {}
        trial.run_metadata.metric_n_steps = {}


def _last_error(trial: Any) -> str:
    """What Ray said of it; a trial that lost several processes has had several errors."""
    try:
        return Path(trial.error_file).read_text(encoding="utf-8", errors="replace").rpartition("Failure # ")[2]
    except (OSError, TypeError):  # the disk is full; or there is no file
        return ""


_CAUSES: Final[Mapping[str, str]] = {
    r"(?i)low on memory|out of memory|OutOfMemory": "its node ran out of memory",
    r"(?i)\bnode .{0,80}(died|is dead|was terminated)|preempt": "its node died",
    r"(?i)is unavailable|socket closed": "its node cannot be reached",
    r"(?i)worker .{0,20}(crashed|died)|SIGKILL|connection error code": "killed, or crashed",
}


def death_cause(text: str) -> str:
    """A few words for what Ray says of a dead process, in many lines."""
    known = next((cause for pattern, cause in _CAUSES.items() if re.search(pattern, text)), None)
    return known or (one_line(ValueError(text), limit=160) if text else "")


def _our_name(trial: Any) -> str:
    """Our own id of a trial, for Tune's folders and messages."""
    return str(trial.config["task"]["trial_id"])


class _ActorManager(RayActorManager):  # type: ignore[misc]
    """Takes an actor that the memory monitor killed for dead, as it is; Tune's own ends the whole study for it."""

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=str(exception))
        super()._actor_task_failed(tracked_actor_task, exception)


tune_controller.RayActorManager = _ActorManager


def run_trials(
    driver: StudyDriver,
    *,
    data: SearchData,
    settings: TrialSettings,
    gpus: float,
    slots: int,
    folder: Path,
    test: TestData | None = None,
    sent: dict[int, Any],
) -> None:
    """Run trials until the phase is done or the user interrupts.

    Args:
        driver: of the study.
        data, settings: for every trial; put into the object store once.
        gpus: of a trial.
        slots: trials at once.
        folder: for Tune's own files.
        test: what trials of the confirm phase are evaluated on; put into the object store now, and never before.
        sent: what an earlier phase has put there, by the array's `id`; is added to.
    """
    data, test = _in_store(data, sent), None if test is None else _in_store(test, sent)
    resources = {"cpu": settings.cpus, **({"gpu": gpus} if gpus else {})}
    trainable = tune.with_resources(tune.with_parameters(run_trial, data=data, settings=settings, test=test), resources)
    actors: dict[str, Any] = {}  # by Tune's id, of trials that are timed and run
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=ArmsSearcher(driver, actors),
            scheduler=DeathNotes(driver),
            num_samples=-1,
            max_concurrent_trials=slots,
            reuse_actors=True,
            trial_name_creator=_our_name,
            trial_dirname_creator=_our_name,
        ),
        run_config=tune.RunConfig(
            name="search" if test is None else "confirm",
            storage_path=str(folder.resolve()),
            verbose=0,
            stop=LedgerStopper(driver, actors),
        ),
    )
    tuner.fit()


def _in_store(data: Shared, sent: dict[int, Any]) -> Shared:
    """The same with references in place of arrays; each array is sent once, whatever phases use it, and each node fetches it once."""
    arrays = {name: value for name, value in vars(data).items() if isinstance(value, np.ndarray)}
    for array in arrays.values():
        if id(array) not in sent:
            sent[id(array)] = (array, ray.put(array))  # the array is kept, so that its id stays its own
    return replace(data, **{name: sent[id(array)][1] for name, array in arrays.items()})
