"""A folder in an object store: whole objects in, whole objects out, and patience with a store that is away for a moment."""

from __future__ import annotations

import contextlib
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from bsd_core.errors import StorageError, shown
from bsd_core.whole_file import write_whole

PATIENCE_SECONDS: Final = 60.0  # how long a request that fails is made again
_AT_ONCE: Final = 16  # requests
_SECRETS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

Result = TypeVar("Result")


@dataclass
class Patience:
    """How long failing requests are made again. Once that was in vain, requests are made once until one succeeds."""

    seconds: float
    in_vain: bool = False

    def hurry(self) -> None:
        """Requests are made once from now on: someone waits for this process to end."""
        self.seconds = 0.0


@dataclass(frozen=True)
class Stored:
    """An object: its size in bytes, and when it was written by the store's own clock."""

    n_bytes: int
    written: datetime


@dataclass(frozen=True)
class RemoteFolder:
    """A folder in an object store; folders there need not be made.

    Attributes:
        filesystem: of pyarrow.
        path: bucket/folder/folder.
        scheme: of its URI.
        options: the rest of its URI, with the question mark.
        patience: with a store that does not answer.
    """

    filesystem: Any
    path: str
    scheme: str
    options: str
    patience: Patience = field(default_factory=lambda: Patience(PATIENCE_SECONDS), compare=False)

    @property
    def uri(self) -> str:
        """As a user writes it."""
        return f"{self.scheme}://{self.path}{self.options}"

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    def __str__(self) -> str:
        return self.uri

    def __truediv__(self, name: str) -> RemoteFolder:
        return replace(self, path=f"{self.path}/{name}")

    @property
    def parent(self) -> RemoteFolder:
        """The folder that it is in; a bucket's own is the bucket."""
        return replace(self, path=self.path.rpartition("/")[0] or self.path)

    def impatient(self) -> RemoteFolder:
        """The same folder, whose requests are made once."""
        return replace(self, patience=Patience(0.0))

    def put(self, name: str, content: Any) -> None:
        """Write an object, which others see whole or not at all.

        Args:
            name: below this folder.
            content: bytes, or a buffer of them.

        Raises:
            StorageError: the store does not take it.
        """

        def write() -> None:
            with self.filesystem.open_output_stream(f"{self.path}/{name}") as stream:
                stream.write(content)  # in one piece: closing a stream that was cut short would make a short object

        self._patiently("write", name, write)

    def put_files(self, folder: Path, names: Iterable[str]) -> None:
        """Write files of a folder of this machine, several at once.

        Raises:
            StorageError: see `put`.
        """
        import pyarrow as pa

        def put_file(name: str) -> None:
            with pa.OSFile(str(folder / name)) as file:  # no memory map: another process may write the file anew
                self.put(name, file.read_buffer())

        self._at_once(put_file, names)

    def get(self, name: str) -> bytes | None:
        """The content of an object that is never written anew at another length; None if it is not there.

        Raises:
            StorageError: it cannot be read.
        """

        def read() -> bytes | None:
            try:
                with self.filesystem.open_input_file(f"{self.path}/{name}") as file:
                    return bytes(file.read())
            except FileNotFoundError:
                return None

        return self._patiently("read", name, read)

    def _get_whole(self, name: str) -> bytes | None:
        """The same of any object: a read that first asks for the length gets the beginning of one that was written anew in between."""
        while (content := self.get(name)) is not None and len(content) != self._info(name).size:
            pass
        return content

    def get_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """Several at once; without those that are not there.

        Raises:
            StorageError: see `get`.
        """
        names = list(names)
        contents = self._at_once(self.get, names)
        return {name: content for name, content in zip(names, contents, strict=True) if content is not None}

    def fetch(self, folder: Path, names: Iterable[str]) -> None:
        """Write objects as files of a folder of this machine, each whole or not at all.

        Raises:
            StorageError: one cannot be read or written.
        """

        def fetch_one(name: str) -> None:
            content = self._get_whole(name)
            if content is not None:
                write_whole(folder / name, lambda file: file.write(content))

        self._at_once(fetch_one, names)

    def remove(self, names: Iterable[str]) -> None:
        """Delete objects; those that are not there are no error.

        Raises:
            StorageError: the store refuses.
        """

        def remove_one(name: str) -> None:
            def delete() -> None:
                with contextlib.suppress(FileNotFoundError):
                    self.filesystem.delete_file(f"{self.path}/{name}")

            self._patiently("remove", name, delete)

        self._at_once(remove_one, names)

    def files(self) -> dict[str, Stored]:
        """All objects below this folder, by their name below it.

        Raises:
            StorageError: it cannot be listed.
        """
        below = len(self.path) + 1
        return {entry.path[below:]: Stored(entry.size, entry.mtime) for entry in self._list(recursive=True) if entry.size is not None}

    def folders(self) -> list[str]:
        """Names of the folders right in this one, sorted.

        Raises:
            StorageError: it cannot be listed.
        """
        return sorted(entry.base_name for entry in self._list(recursive=False) if entry.size is None)

    def _list(self, *, recursive: bool) -> list[Any]:
        from pyarrow.fs import FileSelector

        selector = FileSelector(self.path, recursive=recursive, allow_not_found=True)
        return self._patiently("list", "", lambda: list(self.filesystem.get_file_info(selector)))

    def written(self, name: str) -> datetime | None:
        """When an object was written, by the store's own clock; None if it is not there.

        Raises:
            StorageError: the store does not say.
        """
        info = self._info(name)
        written: datetime | None = info.mtime if info.size is not None else None
        return written

    def _info(self, name: str) -> Any:
        return self._patiently("read", name, lambda: self.filesystem.get_file_info(f"{self.path}/{name}"))

    def now(self) -> datetime:
        """The time by the store's own clock, since those of machines differ.

        Raises:
            StorageError: nothing can be written there.
        """
        name = f".probe-{uuid.uuid4().hex}"
        self.put(name, b"probe")
        written = self.written(name)
        self.remove([name])
        if written is None:
            raise StorageError(f"{self.uri}: what was just written there is not there.")
        return written

    def check_writable(self) -> None:
        """Write an object and remove it, at the first attempts.

        Raises:
            StorageError: that fails; within 20 seconds if nobody answers.
        """
        folder = replace(self, patience=Patience(2.0))
        folder.written("latest")  # a read that nobody answers fails sooner than a write
        folder.now()

    def _at_once(self, work: Callable[[str], Result], names: Iterable[str]) -> list[Result]:
        """`work` of all names; the first error of one."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                return list(pool.map(work, names))
            except BaseException:
                self.patience.in_vain = True
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _patiently(self, verb: str, name: str, request: Callable[[], Result]) -> Result:
        patience, begun, pause = self.patience, time.monotonic(), 0.5
        while True:
            try:
                result = request()
            except (OSError, ValueError) as error:  # of pyarrow: what it cannot reach, and what it takes for no path
                if patience.in_vain or time.monotonic() + pause - begun > patience.seconds:
                    patience.in_vain = True
                    place = f"{self.scheme}://{self.path}{'/' if name else ''}{name}"
                    raise StorageError(f"Cannot {verb} {shown(place, limit=200)}: {reason(error)}. {WAY_OUT}") from None
            else:
                patience.in_vain = False
                return result
            time.sleep(pause)
            pause = min(2 * pause, 8.0)


WAY_OUT: Final = "Check bucket, network and credentials (AWS_ACCESS_KEY_ID and so on), or choose another RESULTS."


def reason(error: BaseException) -> str:
    """What a store said, in a few words: without the request's number, and without what must stay secret."""
    text = " ".join(str(error).split())
    text = re.sub(r"\s*\(Request ID:[^)]*\)", "", text.partition("AWS Error ")[2] or text).rstrip(". ")
    for name in _SECRETS:
        if secret := os.environ.get(name):
            text = text.replace(secret, f"<{name}>")
    return text if len(text) <= 200 else text[:199] + "…"
