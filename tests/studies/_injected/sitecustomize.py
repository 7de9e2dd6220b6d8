"""Faults for processes of a study: Python imports this file at their start where a test puts its folder on PYTHONPATH.

Environment:
    INJECTED_FAULTS: JSON, what goes wrong in which trial: {trial id: name of a function of this file}.
    INJECTED_LOG: file that gets a line of JSON for every array that the driver puts into Ray's object store, and for every trial.
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, ClassVar

STEP = 5  # of the training, where it goes wrong


def hang(trainer: Any) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def ask_for_a_petabyte(trainer: Any) -> None:
    import torch

    torch.empty(1 << 50, dtype=torch.uint8)


def lose_its_weights(trainer: Any) -> None:
    trainer.model.parameters().__next__().data.fill_(float("inf"))


def write_to_images(trainer: Any) -> None:
    trainer._images.fill_(0)


def write_to_labels_past_torch(trainer: Any) -> None:
    trainer._given.numpy()[:] = 0


def _log(line: dict[str, Any]) -> None:
    with open(os.environ["INJECTED_LOG"], "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _in_driver(module: ModuleType) -> None:
    import numpy as np

    put = module.ray.put

    def counted(value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, np.ndarray):
            _log({"put": list(value.shape)})
        return put(value, *args, **kwargs)

    module.ray.put = counted


def _in_trials(module: ModuleType) -> None:
    events = module.trial_events
    faults: dict[str, str] = json.loads(os.environ.get("INJECTED_FAULTS", "{}"))

    def with_faults(task: Any, settings: Any, data: Any, device: Any, test: Any = None, **kwargs: Any) -> Any:
        arrays = (data.train_images, data.train_targets, data.val_images, data.val_targets, data.shifted_rows)
        _log({"trial": task.trial_id, "pid": os.getpid(), "store": module.fingerprint(*arrays)})

        def on_trainer(trainer: Any) -> None:
            if task.trial_id in faults:
                _break(trainer, globals()[faults[task.trial_id]])

        return events(task, settings, data, device, test, on_trainer=on_trainer, **kwargs)

    module.trial_events = with_faults  # type: ignore[attr-defined]


def _break(trainer: Any, fault: Callable[[Any], object]) -> None:
    step = trainer.method.step

    def broken(runner: Any, batch: Any) -> Any:
        if batch.step == STEP:
            fault(trainer)
        return step(runner, batch)

    trainer.method.step = broken


class _Changed(MetaPathFinder):
    """Changes modules right after they are loaded."""

    changes: ClassVar = {"studies.trial": _in_trials, "studies.tune": _in_driver}

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname not in self.changes:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        loader: Any = spec.loader
        load = loader.exec_module

        def load_changed(module: ModuleType) -> None:
            load(module)
            self.changes[fullname](module)

        loader.exec_module = load_changed
        return spec


if "INJECTED_LOG" in os.environ:
    sys.meta_path.insert(0, _Changed())
