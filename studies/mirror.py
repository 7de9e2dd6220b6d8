"""A run in an object store and its working copy on this machine: all work is done on the copy, and the store is kept in step.

What is in the store: the ledger in parts, as `remote_ledger` says; the checkpoints of trials, which the nodes write; a lease; and every
other file of the run as an object of the same name, written whole. Ray's own files stay on the machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bsd_core.errors import ConfigError, StorageError, one_line, shown
from studies.lease import NAME as LEASE
from studies.lease import Lease
from studies.ledger import Event
from studies.remote_folder import RemoteFolder
from studies.remote_ledger import RemoteLedger, join_parts, pull_ledger

LEDGER: Final = "ledger"  # folder of its parts
_APART: Final = {LEDGER, "ledger.jsonl", "checkpoints", "ray", LEASE}  # not a file here and an object of the same name there
_KEPT: Final = ("tables/predictions/", "tables/features/")  # of trials, a file each, written once
_REMADE: Final = "report/data/"  # by each report, which removes what it no longer has


def working_copy(remote: RemoteFolder) -> Path:
    """Where this machine works on a run of an object store: in XDG_CACHE_HOME, by the run's place there.

    Raises:
        StorageError: there is no such folder.
    """
    place = hashlib.blake2b(f"{remote.scheme}://{remote.path}".encode(), digest_size=8).hexdigest()
    given = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(given if os.path.isabs(given) else os.path.expanduser("~/.cache"))
    if not cache.is_absolute():
        raise StorageError("Results in an object store need a folder of this machine to work in: set XDG_CACHE_HOME.")
    return cache / "bsd-study" / place / remote.parent.name / remote.name


@dataclass
class Mirror:
    """Keeps a run in an object store in step with its working copy.

    Attributes:
        remote: the run's folder in the store.
        path: the working copy.
    """

    remote: RemoteFolder
    path: Path
    _lease: Lease | None = field(default=None, init=False)

    def pull(self) -> None:
        """Bring what is in the store to the working copy; while a process of this machine is at work on it, it is newer than the store.

        Raises:
            StorageError: the store cannot be read, or the copy not be written.
        """
        with self._alone() as work:
            if work is not None:
                self._pull()

    @contextlib.contextmanager
    def held(self, refuse: Callable[[], Exception], tell: Callable[[str], object]) -> Iterator[None]:
        """Hold the run for this process, with a working copy that has all that is in the store, and the store what was made here before.

        Args:
            refuse: makes the error if another process of this machine is at work.
            tell: is given a line if it takes a while to find out whether one of another machine is.

        Raises:
            ConfigError: another process holds it.
            StorageError: the store cannot be read or written.
        """
        with contextlib.ExitStack() as stack:
            with self._alone() as work:
                if work is None:
                    raise refuse()
                stack.enter_context(os.fdopen(os.dup(work), "w"))  # the same lock: it lasts as long as one of the two is open
            lease = Lease(self.remote)
            stack.enter_context(lease.held(tell))
            self._lease = lease
            stack.callback(self._let_go)
            self._pull()
            self.push()
            yield

    def ledger(self) -> RemoteLedger:
        """The run's ledger, for the process that holds the run.

        Raises:
            StorageError: the store cannot be read or written.
        """
        return RemoteLedger(self.path / "ledger.jsonl", self.remote / LEDGER, self._before, self._check)

    def push(self) -> None:
        """Make the store's files those of the working copy; its ledger is kept in step by itself.

        Raises:
            StorageError: the store does not take them, or the run is no longer ours.
        """
        self._check()
        self.remote.remove([name for name in self._push() if not name.startswith(_KEPT)])

    def share(self) -> str | None:
        """Send what was made of a run that this process did not hold, unless that would disturb anyone.

        Returns:
            why it was not sent; None if it was.
        """
        impatient = Mirror(self.remote.impatient(), self.path)
        try:
            with self._alone() as work:
                if work is None:
                    return "the run is still at work"
                with Lease(impatient.remote).held(None):
                    ledger = (self.path / "ledger.jsonl").read_bytes()
                    if not ledger.startswith(join_parts(impatient.remote / LEDGER, ledger).content):
                        return "the run has gone on"
                    gone = impatient._push()
                    impatient.remote.remove([name for name in gone if name.startswith(_REMADE)])
        except (ConfigError, StorageError) as error:
            return one_line(error)
        return None

    def hurry(self) -> None:
        """Nobody waits for a store that is away any longer."""
        self.remote.patience.hurry()

    def _before(self, event: Event) -> None:
        """A trial's predictions and features are in the store before its end is."""
        if event["event"] == "end":
            names = [f"{folder}{event.get('trial_id')}.parquet" for folder in _KEPT]
            self.remote.put_files(self.path, [name for name in names if (self.path / name).is_file()])

    def _check(self) -> None:
        if self._lease is not None:
            self._lease.check()

    def _let_go(self) -> None:
        self._lease = None

    def _push(self) -> set[str]:
        """Names of files that are there and not here."""
        there, here = self._files_there(), self._files_here()
        self.remote.put_files(self.path, [name for name, n_bytes in here.items() if not (_once(name) and there.get(name) == n_bytes)])
        return there.keys() - here.keys()

    def _pull(self) -> None:
        there, here = self._files_there(), self._files_here()
        self.remote.fetch(self.path, [name for name, n_bytes in there.items() if not (_once(name) and here.get(name) == n_bytes)])
        pull_ledger(self.remote / LEDGER, self.path / "ledger.jsonl")

    def _files_there(self) -> dict[str, int]:
        """Names and sizes. Only names that stay inside the copy: a store can hold any, and it may be a stranger's."""
        return {name: stored.n_bytes for name, stored in self.remote.files().items() if _is_ours(name)}

    def _files_here(self) -> dict[str, int]:
        files = [path for path in self.path.rglob("*") if path.is_file()] if self.path.is_dir() else []
        return {name: path.stat().st_size for path in files if _is_ours(name := path.relative_to(self.path).as_posix())}

    @contextlib.contextmanager
    def _alone(self) -> Iterator[int | None]:
        """Alone among processes of this machine that want the copy: the descriptor of its lock; None if one is at work for long."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with (self.path / ".pull").open("w") as door, (self.path / ".lock").open("w") as work:
                fcntl.flock(door, fcntl.LOCK_EX)
                try:
                    fcntl.flock(work, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield None
                else:
                    yield work.fileno()
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            raise StorageError(f"Cannot work in {shown(self.path)}: {one_line(error, limit=120)}. Set XDG_CACHE_HOME.") from error


def _once(name: str) -> bool:
    return name.startswith(_KEPT)


def _is_ours(name: str) -> bool:
    parts = name.split("/")
    hidden = any(part in ("", "..") or part.startswith(".") or part.endswith(".tmp") for part in parts)
    return not hidden and "\\" not in name and name.isprintable() and parts[0] not in _APART
