"""A ledger in an object store, where nothing can be appended to: every piece of it is an object of its own, a part.

A part is named by the bytes of the ledger that it holds and by their hash, `<from>-<to>-<hash>.jsonl`. So a part that was joined into a
larger one is known to be there already, wherever a process died between writing that one and removing the small ones; parts that a machine
has are not fetched again; and nothing that two processes may have written, each against the other, is lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bsd_core.errors import StorageError
from bsd_core.whole_file import write_whole
from studies.ledger import Event, Ledger
from studies.remote_folder import RemoteFolder

JOINED_AT: Final = 256  # parts of one process: more are joined, since each costs every reader a request
_LISTINGS: Final = 5
_NAME: Final = re.compile(r"(\d{12})-(\d{12})-([0-9a-f]{16})\.jsonl")


@dataclass(frozen=True, order=True)
class Part:
    """A part by its name: sorted so that each begins where an earlier one ended, larger ones first.

    Attributes:
        start, minus_end: bytes of the ledger; the end with its sign turned, for the order.
        digest: of its content.
    """

    start: int
    minus_end: int
    digest: str

    @property
    def end(self) -> int:
        """Where the next begins."""
        return -self.minus_end

    @property
    def name(self) -> str:
        """Of its object."""
        return f"{self.start:012d}-{self.end:012d}-{self.digest}.jsonl"

    @classmethod
    def of(cls, content: bytes, start: int) -> Part:
        """The part that holds `content`, which begins at byte `start`."""
        return cls(start, -(start + len(content)), hashlib.blake2b(content, digest_size=8).hexdigest())

    def is_in(self, ledger: bytes | memoryview) -> bool:
        """Whether a ledger holds it where it should be."""
        return self.end <= len(ledger) and Part.of(bytes(ledger[self.start : self.end]), self.start) == self


@dataclass(frozen=True)
class Joined:
    """What the parts of a ledger say together.

    Attributes:
        content: of the ledger.
        in_order: whether it is what one process after the other wrote, whole. If not, parts that do not fit stand at its end.
        parts: all of them.
    """

    content: bytes
    in_order: bool
    parts: tuple[Part, ...]


def join_parts(folder: RemoteFolder, known: bytes = b"") -> Joined:
    """Put a ledger together.

    Args:
        folder: of its parts.
        known: the ledger as this machine has it; what it has is not fetched.

    Raises:
        StorageError: the parts cannot be read.
    """
    for _ in range(_LISTINGS):
        joined = _join_listed(folder, memoryview(known))
        if joined is not None:
            return joined
    raise StorageError(f"The ledger in {folder.uri} changes faster than it can be read; try again.")


def _join_listed(folder: RemoteFolder, known: memoryview) -> Joined | None:
    """None if a part that was listed is gone: it has been joined with others meanwhile."""
    parts = sorted(Part(int(found[1]), -int(found[2]), found[3]) for found in map(_NAME.fullmatch, folder.files()) if found is not None)
    contents = {part: bytes(known[part.start : part.end]) for part in parts if part.is_in(known)}

    def fetch(wanted: list[Part]) -> bool:
        missing = [part for part in wanted if part not in contents]
        found = folder.get_all(part.name for part in missing)
        contents.update({part: found[part.name] for part in missing if part.name in found})
        return len(found) == len(missing)

    chain, end = [], 0
    for part in parts:
        if part.start == end:
            chain.append(part)
            end = part.end
    if not fetch(chain):
        return None
    content = b"".join(contents[part] for part in chain)
    others = [part for part in parts if part not in chain and not part.is_in(memoryview(content))]
    if not fetch(others):
        return None
    return Joined(content + b"".join(contents[part] for part in others), not others and len(content) == end, tuple(parts))


def pull_ledger(folder: RemoteFolder, path: Path) -> None:
    """Bring a ledger to this machine; what this machine has beyond it, such as the end of a trial that could not be sent, is kept.

    Raises:
        StorageError: it cannot be read, or not be written here.
    """
    here = path.read_bytes() if path.exists() else b""
    joined = join_parts(folder, here)
    if not here.startswith(joined.content):
        write_whole(path, lambda file: file.write(joined.content))


class RemoteLedger(Ledger):
    """A ledger whose synced events are in the object store, too, before `append` returns.

    Args:
        path: the ledger on this machine, as `pull_ledger` left it.
        folder: of the parts.
        before: is called with every synced event before it is sent: here what belongs to it is sent.
        check: is called before anything is sent: here sending can be refused.

    Raises:
        StorageError: the store cannot be read or written.
    """

    def __init__(self, path: Path, folder: RemoteFolder, before: Callable[[Event], object], check: Callable[[], object]) -> None:
        super().__init__(path)
        self._folder, self._before, self._check = folder, before, check
        self._small: list[Part] = []  # that this process has written, in order and without a gap
        self._sent = 0
        try:
            self._go_on()
        except BaseException:
            super().close()
            raise

    def _go_on(self) -> None:
        """Where the parts end; parts that do not fit are replaced by one that holds them all."""
        content = self.path.read_bytes()
        joined = join_parts(self._folder, content)
        if not content.startswith(joined.content):
            raise StorageError(f"The ledger in {self._folder.uri} changed just now: is another process at work on this run? Try again.")
        if joined.in_order:
            self._sent = len(joined.content)
        else:
            whole = self._send()
            self._remove(part for part in joined.parts if part != whole)

    def append(self, event: Event, *, sync: bool = False) -> None:
        """Write one event; with `sync`, return only when it and all before it are on the disk and in the store.

        Raises:
            StorageError: the disk is full, or the store does not take it.
        """
        super().append(event)
        if sync:
            self._before(event)
            self.sync()

    def sync(self) -> None:
        """Return when all events so far are on the disk and in the store.

        Raises:
            StorageError: see `append`.
        """
        super().sync()
        self._check()
        self._send()
        if len(self._small) >= JOINED_AT:
            self._join()

    def close(self) -> None:
        """No more events. What is not sent by then is nothing that anyone was told of."""
        super().close()
        with contextlib.suppress(StorageError):
            self._check()
            self._send()
            self._join()

    def _send(self) -> Part | None:
        """What was added since the last time."""
        with self.path.open("rb") as file:
            file.seek(self._sent)
            content = file.read()
        if not content:
            return None
        part = Part.of(content, self._sent)
        self._folder.put(part.name, content)
        self._sent = part.end
        self._small.append(part)
        return part

    def _join(self) -> None:
        """One part in place of the small ones."""
        if len(self._small) > 1:
            small, start = self._small, self._small[0].start
            self._sent, self._small = start, []
            self._send()
            self._remove(small)
            self._small = []

    def _remove(self, parts: Iterable[Part]) -> None:
        self._folder.remove(part.name for part in parts)
