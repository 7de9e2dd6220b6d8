"""A trial's checkpoints: where its training goes on when its process, its node or the driver has died.

They lie in a folder that every node can reach, one folder a trial, and are removed once the trial's end is in the ledger. The folder can be
in an object store: see `remote_checkpoints`.
"""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bsd_core.checkpoint import Found, resume, save_checkpoint
from bsd_core.errors import ConfigError, one_line
from bsd_core.train import Trainer
from studies.remote_uri import is_uri


@dataclass(frozen=True, kw_only=True)
class CheckpointPlan:
    """Where and how often.

    Attributes:
        place: folder of all trials' checkpoints, the same on every node; or a URI.
        seconds: between two of a trial; a training that is shorter writes none.
    """

    place: str
    seconds: float


class Tell(Protocol):
    """Takes a line for the user; `of_run`: it concerns all trials, so once is enough."""

    def __call__(self, text: str, *, of_run: bool = False) -> object:
        """The line, without the trial's name."""


class TrialCheckpoints:
    """The checkpoints of one trial, in the process that trains it.

    A checkpoint is a help and no result: one that cannot be written or read is told of, and the training goes on.

    Args:
        plan: of the run.
        trial_id: names its folder.
        tell: is given a line for the user.
        before_save: is called before one is written.
    """

    def __init__(self, plan: CheckpointPlan, trial_id: str, *, tell: Tell, before_save: Callable[[], object] = lambda: None) -> None:
        self._place, self._trial_id, self._seconds = plan.place, trial_id, plan.seconds
        self._tell, self._before_save = tell, before_save
        self._last = time.monotonic()
        self._failed = False

    def load(self, trainer: Trainer) -> dict[str, Any]:
        """Bring `trainer` to where its newest whole checkpoint left it, if there is one.

        Returns:
            what was saved beside it; empty if the training begins.
        """
        try:
            found = self._resume(trainer)
        except (ConfigError, OSError) as error:
            self._tell(f"its checkpoint cannot be used ({one_line(error)}); it starts from the beginning")
            return {}
        for reason in found.broken:
            self._tell(f"a broken checkpoint was passed over: {reason}")
        if found.broken or found.state is not None:
            self._tell(_resumed(trainer, found))
        return found.extra

    @property
    def due(self) -> bool:
        """Whether it is time for the next."""
        return time.monotonic() - self._last >= self._seconds

    def worth_it(self, seconds: float) -> bool:
        """Whether a training that took so long should not have to be repeated."""
        return seconds >= self._seconds

    def save(self, trainer: Trainer, extra: Mapping[str, Any]) -> None:
        """Write one more; a training that will not be able to resume is no reason to end it now."""
        self._before_save()
        try:
            self._write(trainer, extra)
        except OSError as error:
            if not self._failed:
                reason = getattr(error.__cause__, "strerror", None) or one_line(error)
                place = f"{socket.gethostname()} cannot write to {self._place} ({one_line(ValueError(reason), limit=120)})"
                self._tell(f"no checkpoints: {place}; a trial whose process dies will start again", of_run=True)
            self._failed = True
        self._last = time.monotonic()

    def forget(self) -> None:
        """The trial's end is in the ledger. In a folder, the driver sees to it: see `remove_checkpoints`."""

    def _resume(self, trainer: Trainer) -> Found:
        return resume(trainer, Path(self._place) / self._trial_id)

    def _write(self, trainer: Trainer, extra: Mapping[str, Any]) -> None:
        save_checkpoint(Path(self._place) / self._trial_id, trainer, extra=extra)


def checkpoints_of(
    plan: CheckpointPlan, trial_id: str, *, tell: Tell, before_save: Callable[[], object] = lambda: None
) -> TrialCheckpoints:
    """Those of a trial, wherever they lie; see `TrialCheckpoints`."""
    from studies.remote_checkpoints import RemoteTrialCheckpoints

    kind = RemoteTrialCheckpoints if is_uri(plan.place) else TrialCheckpoints
    return kind(plan, trial_id, tell=tell, before_save=before_save)


def _resumed(trainer: Trainer, found: Found) -> str:
    if found.state is None:
        return "it starts from the beginning"
    where = f"in epoch {trainer.epoch + 1} of {trainer.epochs}" if trainer.epoch < trainer.epochs else "with its evaluation"
    return f"it goes on from its checkpoint, {where}"


def remove_checkpoints(place: str, trial_id: str) -> None:
    """Those of a trial that has ended; what cannot be removed stays. In an object store, the trial itself has removed them."""
    if not is_uri(place):
        shutil.rmtree(Path(place) / trial_id, ignore_errors=True)


def remove_all_checkpoints(place: str) -> None:
    """Of a phase that is done."""
    if is_uri(place):
        from studies.remote_checkpoints import remove_remote_checkpoints

        remove_remote_checkpoints(place)
        return
    shutil.rmtree(place, ignore_errors=True)
