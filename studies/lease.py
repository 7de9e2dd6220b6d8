"""A run in an object store is held by one process at a time: by an object that its holder writes anew as long as it lives.

A store cannot end a lock when its holder dies, so a lease that nobody renews for a while counts as free, by the store's own clock. A holder
that was away that long (a suspended machine, a network that was down) finds out before it writes the next result, and stops.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bsd_core.errors import ConfigError, StorageError, shown
from studies.remote_folder import RemoteFolder

NAME: Final = "lease.json"


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds: between renewals, after which a lease is free, and in which two who take a free one notice each other."""

    renew: float = 20.0
    free_after: float = 90.0
    settle: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A process, as no other one is described: its host, its machine since it was started, its number and when it began."""

    host: str
    machine: str
    pid: int
    began: str
    token: str

    @classmethod
    def this_process(cls) -> Holder:
        """Ourselves, with a new token."""
        return cls(host=socket.gethostname(), machine=_machine(), pid=os.getpid(), began=_began(os.getpid()), token=secrets.token_hex(8))

    def is_gone(self) -> bool:
        """Whether it ran on this machine and does no longer."""
        return self.is_here() and _began(self.pid) != self.began

    def is_here(self) -> bool:
        """Whether it is, or was, of this machine."""
        return bool(self.machine) and self.machine == _machine()


class Lease:
    """The lease of one run.

    Args:
        folder: of the run.
        timing: see there.
    """

    def __init__(self, folder: RemoteFolder, timing: Timing | None = None) -> None:
        self._folder, self._timing, self._me = folder, timing or Timing(), Holder.this_process()
        self._stop, self._lost, self._renewed = threading.Event(), False, time.time()
        self._renewing = threading.Lock()

    @contextlib.contextmanager
    def held(self, tell: Callable[[str], object] | None) -> Iterator[None]:
        """Hold it.

        Args:
            tell: is given a line if that takes a while; None not to wait whether the holder still lives.

        Raises:
            ConfigError: another process holds it, and lives.
            StorageError: the store does not answer.
        """
        self._await_free(tell)
        self._write()
        time.sleep(self._timing.settle)
        if (holder := self._read()[1]) != self._me:
            raise _refusal(self._folder, holder)
        thread = threading.Thread(target=self._renew_on, daemon=True, name="lease")
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(timeout=5)  # it may wait for the store; this process has better things to do
            folder = self._folder.impatient()
            with contextlib.suppress(StorageError):
                if self._read(folder)[1] == self._me:
                    folder.remove([NAME])

    def check(self) -> None:
        """To be called before a result is written.

        Raises:
            StorageError: it is no longer ours; or that cannot be found out.
        """
        if time.time() - self._renewed > self._timing.free_after / 2:  # the clock goes on while a machine sleeps
            self._renew(self._folder)
        if self._lost:
            raise StorageError(f"{self._folder.uri}: another process has taken over this run, since nothing was heard of this one.")

    def _await_free(self, tell: Callable[[str], object] | None) -> None:
        first, told = self._read()[0], False
        while True:
            content, holder = self._read()
            if content is None or (holder is not None and holder.is_gone()):
                return
            if content != first or (holder is not None and holder.is_here()):
                raise _refusal(self._folder, holder)
            written = self._folder.written(NAME)
            age = 0.0 if written is None else (self._folder.now() - written).total_seconds()
            if age > self._timing.free_after:
                return
            if tell is None:
                raise _refusal(self._folder, holder)
            if not told:
                host = "another machine" if holder is None else f"process {holder.pid} of {shown(holder.host)}"
                tell(f"{host} held this run {age:.0f} s ago; waiting whether it still does, {self._timing.free_after - age:.0f} s at most.")
                told = True
            time.sleep(min(2.0, self._timing.renew / 4))

    def _renew_on(self) -> None:
        impatient = self._folder.impatient()
        while not self._stop.wait(self._timing.renew):
            with contextlib.suppress(StorageError):  # the next time, or `check` says so
                self._renew(impatient)

    def _renew(self, folder: RemoteFolder) -> None:
        with self._renewing:
            content, holder = self._read(folder)
            # One that is gone has been another's, who has given it back since: nobody else removes it.
            self._lost = self._lost or content is None or holder != self._me
            if not self._lost:
                self._write(folder)

    def _write(self, folder: RemoteFolder | None = None) -> None:
        (folder or self._folder).put(NAME, json.dumps(asdict(self._me) | {"renewed": f"{time.time():020.6f}"}).encode())  # always as long
        self._renewed = time.time()

    def _read(self, folder: RemoteFolder | None = None) -> tuple[bytes | None, Holder | None]:
        return read_lease(folder or self._folder)


def read_lease(folder: RemoteFolder) -> tuple[bytes | None, Holder | None]:
    """What the lease of the run in `folder` holds, None if there is none; and who that is, None for what nobody of us has written.

    Raises:
        StorageError: the store does not answer.
    """
    content = folder.get(NAME)
    try:
        document: Any = json.loads(content or b"")
        return content, Holder(**{name: type_(document[name]) for name, type_ in _FIELDS.items()})
    except (ValueError, TypeError, KeyError, RecursionError):
        return content, None


_FIELDS: Final = {"host": str, "machine": str, "pid": int, "began": str, "token": str}


def _refusal(folder: RemoteFolder, holder: Holder | None) -> ConfigError:
    who = "another process" if holder is None else f"process {holder.pid} of {shown(holder.host)}"
    return ConfigError(f"Run {folder.name} is still at work in {who}; wait for it.")


def _machine() -> str:
    """This machine since it was started, and this container on it, where the system says; processes are numbered by container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _began(pid: int) -> str:
    """When a process of this machine began, in the system's own count; empty if there is none, or it has ended."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return "" if state in "ZX" else fields[18]
    except (OSError, IndexError):
        return ""
