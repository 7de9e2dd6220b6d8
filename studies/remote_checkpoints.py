"""A trial's checkpoints in an object store: written by the node that trains, whole, with that node's own credentials."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from bsd_core.checkpoint import KEEP, Found, resume, save_checkpoint
from bsd_core.errors import BSDError
from bsd_core.train import Trainer
from studies.remote_folder import Patience, RemoteFolder
from studies.remote_uri import open_remote
from studies.trial_checkpoints import TrialCheckpoints

_NAME: Final = re.compile(r"step-\d{10}\.pt")
_PATIENCE_SECONDS: Final = 10.0  # a training does not wait for long: a checkpoint is a help


class RemoteTrialCheckpoints(TrialCheckpoints):
    """The same in an object store."""

    def forget(self) -> None:
        """Remove them; what cannot be removed stays until the phase is done."""
        with contextlib.suppress(BSDError):
            self._folder.remove(self._folder.files())

    def _resume(self, trainer: Trainer) -> Found:
        with tempfile.TemporaryDirectory() as here:
            self._folder.fetch(Path(here), _newest_first(self._folder)[:KEEP])
            return resume(trainer, Path(here))

    def _write(self, trainer: Trainer, extra: Mapping[str, Any]) -> None:
        folder = self._folder
        with tempfile.TemporaryDirectory() as here:
            written = save_checkpoint(Path(here), trainer, extra=extra).name
            folder.put_files(Path(here), [written])
        names = _newest_first(folder)
        newer, kept = [name for name in names if name > written], [name for name in names if name <= written]
        folder.remove([*newer, *kept[KEEP:]])  # a newer one is a broken file that was passed over: this training has not been there yet

    @cached_property
    def _folder(self) -> RemoteFolder:
        return replace(open_remote(self._place) / self._trial_id, patience=Patience(_PATIENCE_SECONDS))


def _newest_first(folder: RemoteFolder) -> list[str]:
    return sorted((name for name in folder.files() if _NAME.fullmatch(name)), reverse=True)


def remove_remote_checkpoints(place: str) -> None:
    """Of a phase that is done; what cannot be removed stays."""
    with contextlib.suppress(BSDError):
        folder = open_remote(place).impatient()
        folder.remove(folder.files())
