"""The thin adapters that make Ray Tune run our search; the only file, beside cluster.py and trial.py, that imports Ray.

Tune pickles searcher and stopper into its snapshots. Ours carry nothing: the ledger is the truth, so a snapshot needs no state.

Early stopping is a Tune stopper and no scheduler: a stopper hears of a result before anyone else, gets the result itself and not a copy,
and need not name one metric to decide by.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from studies.driver import StudyDriver
from studies.trial import run_trial
from studies.trial_data import SearchData, TestData, TrialSettings


class _Stateless:
    """Pickles to an empty shell and is never copied: snapshots of Tune must not hold the driver."""

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self


class ArmsSearcher(_Stateless, Searcher):  # type: ignore[misc]
    """Asks the driver for every trial and tells it every end."""

    def __init__(self, driver: StudyDriver) -> None:
        super().__init__(metric=None, mode=None)
        self._driver = driver

    def suggest(self, trial_id: str) -> Any:
        """The next configuration, None to wait, or FINISHED."""
        config = self._driver.suggest(trial_id)
        return config if config is not None else Searcher.FINISHED if self._driver.source.done else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial is over."""
        self._driver.complete(trial_id, died=error)

    def set_search_properties(self, *args: Any, **kwargs: Any) -> bool:
        """The objectives are the driver's own."""
        return True

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class LedgerStopper(_Stateless, Stopper):  # type: ignore[misc]
    """Passes every message of a trial on, before anyone else hears of it, and stops the trial if the driver says so."""

    def __init__(self, driver: StudyDriver) -> None:
        self._driver = driver

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Take the events out of the result, so that Tune does not carry them along."""
        message, predictions = result.pop("events", None), result.pop("predictions", None)
        return message is not None and self._driver.receive(trial_id, message, predictions)

    def stop_all(self) -> bool:
        """The searcher says when all is done."""
        return False


def _our_name(trial: Any) -> str:
    """Our own id of a trial, for Tune's folders and messages."""
    return str(trial.config["task"]["trial_id"])


def run_trials(
    driver: StudyDriver, *, data: SearchData, settings: TrialSettings, gpus: float, slots: int, folder: Path, test: TestData | None = None
) -> None:
    """Run trials until the phase is done or the user interrupts.

    Args:
        driver: of the study.
        data, settings: for every trial; put into the object store once.
        gpus: of a trial.
        slots: trials at once.
        folder: for Tune's own files.
        test: what trials of the confirm phase are evaluated on; put into the object store now, and never before.
    """
    resources = {"cpu": settings.cpus, **({"gpu": gpus} if gpus else {})}
    trainable = tune.with_resources(tune.with_parameters(run_trial, data=data, settings=settings, test=test), resources)
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=ArmsSearcher(driver),
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
            stop=LedgerStopper(driver),
        ),
    )
    tuner.fit()
