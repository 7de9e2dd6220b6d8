"""Checkpoints: the state of a training as files that are whole or not there.

A checkpoint is written under a temporary name, synced to the disk and renamed, so a process can be killed at any moment; the newest
`KEEP` are kept, so that a broken one (a disk's fault; a copy cut short) still has one before it. Files are read with `weights_only=True`:
nothing in them is executed. Every byte is checked by the archive's own CRC-32 before it is used.

Resuming is exact: a training that is killed at any step and resumed ends with the same weights to the last bit, on the same machine type,
library versions and number of threads. On a GPU that also needs deterministic kernels: see `deterministic`.
"""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from bsd_core.archive import check_not_compressed
from bsd_core.errors import ConfigError, one_line, why
from bsd_core.train import Trainer
from bsd_core.whole_file import write_whole

KEEP: Final = 2
_NAME: Final = re.compile(r"step-(\d{10})\.pt")
_VERSION: Final = 1
# What a damaged or foreign file can raise; a file that may not be read, or does not fit into memory, is no broken one.
_BROKEN: Final = (
    ValueError,
    RuntimeError,
    KeyError,
    EOFError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    IndexError,
    AttributeError,
    TypeError,
)


@dataclass(frozen=True)
class Found:
    """What a folder of checkpoints held.

    Attributes:
        state: of the newest whole checkpoint, for `Trainer.load_state_dict`; None where there is none.
        path: its file.
        broken: one line for each newer file that could not be used, newest first.
        extra: what was saved beside it.
    """

    state: dict[str, Any] | None
    path: Path | None
    broken: tuple[str, ...]
    extra: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(folder: Path, trainer: Trainer, *, extra: Mapping[str, Any] | None = None) -> Path:
    """Write the state of `trainer`, then remove all but the newest `KEEP` files.

    Args:
        folder: made if missing.
        trainer: after any step.
        extra: plain values to keep beside it.

    Returns:
        The file, `step-<steps done>.pt`.

    Raises:
        StorageError: the disk is full, or cannot be written for another reason; older checkpoints are left as they were.
    """
    path = folder / f"step-{trainer.step:010d}.pt"
    content = {"version": _VERSION, "identity": trainer.identity, "state": trainer.state_dict(), "extra": dict(extra or {})}
    write_whole(path, lambda file: torch.save(content, file))
    files = _files(folder)
    newer, kept = [other for other in files if other > path], [other for other in files if other <= path]
    for other in [*newer, *kept[KEEP:]]:  # a newer one is a broken file that was passed over: this training has not been there yet
        other.unlink(missing_ok=True)
    return path


def check_writable(path: Path) -> None:
    """Before a long training: whether a file can be written at `path`, a folder's own files among them.

    Raises:
        ConfigError: it cannot, and why.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder")
        probe = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(f"Cannot write {str(path)!r}: {why(error)}.") from error


def save_weights(path: Path, network: nn.Module) -> None:
    """The weights of a trained network as {"model": state dict}: `pretrained` and kd's `teacher` read it.

    Raises:
        StorageError: see `save_checkpoint`.
    """
    write_whole(path, lambda file: torch.save({"model": network.state_dict()}, file))


def load_checkpoint(folder: Path, *, identity: str) -> Found:
    """The newest whole checkpoint of a folder; broken ones are passed over and reported.

    Args:
        folder: need not exist.
        identity: of the training that wants to go on.

    Raises:
        ConfigError: the checkpoint is of another training (other recipe or labels); the first difference is named.
    """
    return next(_newest_first(folder, identity))


def resume(trainer: Trainer, folder: Path) -> Found:
    """Bring `trainer` to where the newest whole checkpoint of `folder` left it, if there is one.

    Raises:
        ConfigError: see `load_checkpoint`.
    """
    for left_over in folder.glob("step-*.pt.*.tmp"):  # of a process that was killed while it wrote
        left_over.unlink(missing_ok=True)
    before: dict[str, Any] | None = None
    for found in _newest_first(folder, trainer.identity):
        if found.state is None:
            break
        before = copy.deepcopy(trainer.state_dict()) if before is None else before
        try:
            trainer.load_state_dict(found.state)
            break
        except _BROKEN:  # whole, but not what we wrote; nothing of it may remain
            trainer.load_state_dict(before)
    return found


def _newest_first(folder: Path, identity: str) -> Iterator[Found]:
    """Each whole checkpoint, newest first, then one without a state; a checkpoint that was given already counts as broken from then on."""
    broken: list[str] = []
    for path in _files(folder):
        try:
            saved = _read(path)
        except _BROKEN as error:
            broken.append(f"{path}: {one_line(error, limit=120)}")
            continue
        if saved["identity"] != identity:
            raise ConfigError(f"{path} is of another training ({_difference(saved['identity'], identity)}). Use another folder.")
        yield Found(saved["state"], path, tuple(broken), saved["extra"])
        broken.append(f"{path}: its state is not one of this training")
    yield Found(None, None, tuple(broken))


def _files(folder: Path) -> list[Path]:
    """Checkpoints, newest first."""
    names = sorted((path.name for path in folder.glob("step-*.pt") if _NAME.fullmatch(path.name)), reverse=True)
    return [folder / name for name in names]


def _read(path: Path) -> dict[str, Any]:
    check_not_compressed(path)
    with zipfile.ZipFile(path) as archive:
        if (member := archive.testzip()) is not None:
            raise ValueError(f"damaged ({member})")
    saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    whole = isinstance(saved, dict) and isinstance(saved.get("identity"), str) and isinstance(saved.get("state"), dict)
    if not whole or saved.get("version") != _VERSION or not isinstance(saved.setdefault("extra", {}), dict):
        raise ValueError("not a checkpoint of this version")
    return saved


def _difference(saved: str, wanted: str) -> str:
    try:
        theirs, ours = _flat(json.loads(saved)), _flat(json.loads(wanted))
    except (ValueError, RecursionError):
        return "it does not say of which"
    # What the user chose says more than what followed from it.
    for name in sorted(theirs.keys() | ours.keys(), key=lambda name: (name == "labels" or name.startswith("images"), name)):
        if theirs.get(name) != ours.get(name):
            return f"{name} is {theirs.get(name)!r:.80} there and {ours.get(name)!r:.80} here"
    return "a difference in its form"


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    return {path: leaf for key, part in value.items() for path, leaf in _flat(part, f"{name}.{key}" if name else key).items()}


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Kernels that give the same bits at every run: nothing to do on a CPU; on a GPU slower ones, without autotuning.

    To be entered for training alone: some metrics count with kernels that have no such form. cuBLAS reads its setting when a process
    first uses it, so `CUBLAS_WORKSPACE_CONFIG` is set here unless the user has.
    """
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
