"""The run's ledger: one JSON object a line, only ever appended to. It is the truth; tables are built from it.

Events: `suggest` (a trial was handed out), `epochs` (rows of one trial), `end` (a trial ended; synced to disk before the search is told),
`confirm` (settings were chosen, and the test split opened). Rows inside events are written by column: see `ledger_rows`.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from bsd_core.errors import StorageError, one_line
from studies.ledger_form import ROW_FORMS, is_whole
from studies.ledger_rows import Rows, packed

Event = dict[str, Any]
MEASURED: Final = ("epochs", "evaluations", "reliability")  # nearly all of a ledger; who asks how trials ended needs none of it


class Ledger:
    """Appends events to a file.

    Args:
        path: created if missing; a half-written last line of an earlier process is cut off.

    Raises:
        StorageError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if path.exists():
                _mend_last_line(path)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise self._not_written(error) from error

    def append(self, event: Event, *, sync: bool = False) -> None:
        """Write one event; with `sync`, return only when it is on the disk.

        Raises:
            StorageError: the disk is full, or cannot be written for another reason.
            ValueError: it holds NaN or infinity.
        """
        rest = memoryview(as_line(event))
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise self._not_written(error) from error
        if sync:
            self.sync()

    def sync(self) -> None:
        """Return when all events so far are on the disk.

        Raises:
            StorageError: they cannot be written, or the ledger was removed meanwhile.
        """
        try:
            os.fsync(self._file.fileno())
            if not os.path.samestat(os.fstat(self._file.fileno()), self.path.stat()):
                raise FileNotFoundError(errno.ENOENT, "another file has taken its place")
        except OSError as error:
            raise self._not_written(error) from error

    def _not_written(self, error: OSError) -> StorageError:
        return StorageError(f"Cannot write {str(self.path)!r}: {one_line(error, limit=120)}.")

    def close(self) -> None:
        """No more events."""
        self._file.close()


def as_line(event: Mapping[str, Any]) -> bytes:
    """An event as a ledger holds it: its kind first, so that a reader can leave it out unread, and its rows by column.

    Raises:
        ValueError: it holds NaN or infinity.
    """
    rows = {name: packed(event[name]) for name in ROW_FORMS if name in event}
    text = json.dumps({"event": event["event"], **event, **rows}, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="replace") + b"\n"  # half a surrogate pair, as file names can hold, is no UTF-8


def _mend_last_line(path: Path) -> None:
    """Cut off a last line that was only half written; one that lacks its newline alone has been read as an event, and gets it."""
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        end = size
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end == size:
            return
        file.seek(end)
        if _parsed(file.read()) is None:
            file.truncate(end)
        else:
            file.write(b"\n")


@dataclass(frozen=True)
class LedgerContents:
    """What a ledger says.

    Attributes:
        events: in the order they were written.
        broken_lines: lines that could not be read and were left out (a crash can leave half a line).
    """

    events: list[Event]
    broken_lines: int


class LedgerReader(Iterable[Event]):
    """The readable events of a ledger, one at a time and read anew by every iteration; a missing file is an empty ledger.

    A line that is no JSON object, or not what its kind of event must be, is left out. Ledgers may come from strangers: whatever a line
    holds, what is read is safe to build tables from.

    Args:
        path: of the ledger.
        without: kinds of events to leave out, as a rule without parsing them; and rows of `end` events (`evaluations`, `reliability`) to
            leave out, which are then empty, but not without what older ledgers tell there alone. `MEASURED` is all of these.

    Attributes:
        broken_lines: lines that the last iteration found unreadable; of kinds that it left out, only half a line at the end.
        n_bytes: that it read.
    """

    def __init__(self, path: Path, *, without: Collection[str] = ()) -> None:
        self._open: Callable[[], Iterable[bytes]] = lambda: _lines(path)
        self._without = frozenset(without)
        self.broken_lines = self.n_bytes = 0

    @classmethod
    def of_lines(cls, lines: Iterable[bytes], *, without: Collection[str] = ()) -> LedgerReader:
        """The same of lines that are there already."""
        reader = cls(Path(os.devnull), without=without)
        reader._open = lambda: lines
        return reader

    def __iter__(self) -> Iterator[Event]:
        self.broken_lines = self.n_bytes = 0
        skipped = tuple(f'{{"event":"{kind}"'.encode() for kind in sorted(self._without))
        for line in self._open():
            self.n_bytes += len(line)
            if not line.strip():
                continue
            if skipped and line.startswith(skipped) and line.endswith(b"\n"):
                continue
            event = _parsed(line)
            if event is None:
                self.broken_lines += 1
            elif event["event"] not in self._without:
                yield self._lightened(event)

    def _lightened(self, event: Event) -> Event:
        if event["event"] == "end" and "evaluations" in self._without:
            event.setdefault("temperature", own_temperature(event))
        for name in self._without & ROW_FORMS.keys() & event.keys():
            event[name] = Rows([])
        return event


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        return
    except OSError as error:  # a folder of that name, a disk that fails
        raise StorageError(f"Cannot read {str(path)!r}: {one_line(error, limit=120)}.") from error


def _parsed(line: bytes) -> Event | None:
    """The event of a line; None if it is not a whole one."""
    try:
        event = orjson.loads(line)
    except ValueError:
        return None
    if not isinstance(event, dict) or not is_whole(event):
        return None
    for name in ROW_FORMS.keys() & event.keys():
        event[name] = Rows(event[name])
    return event


def read_ledger(path: Path, *, without: Collection[str] = ()) -> LedgerContents:
    """All readable events of a ledger at once: see `LedgerReader`. With epochs, that can be much."""
    reader = LedgerReader(path, without=without)
    return LedgerContents(list(reader), reader.broken_lines)


def parse_lines(lines: Iterable[bytes]) -> LedgerContents:
    """Events of JSON lines; a line that is no JSON object, or not what its kind of event must be, counts as broken."""
    reader = LedgerReader.of_lines(lines)
    return LedgerContents(list(reader), reader.broken_lines)


def ended_trials(events: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The `end` event of every trial that has ended, by its id; the last word holds.

    A trial whose `suggest` event could not be read is not known to the tables, so it has not ended: it is run again.
    """
    ended, suggested = dict[str, Mapping[str, Any]](), set[str]()
    for event in events:
        if event["event"] == "suggest":
            suggested.add(event["trial_id"])
        elif event["event"] == "end" and event["trial_id"] in suggested:
            ended[event["trial_id"]] = event
    return ended


def own_temperature(end: Event) -> float | None:
    """The temperature that a trial's `end` event tells; before there was a confirm phase, its clean validation row alone had it.

    None where it failed, was stopped, or trained on the validation images.
    """
    if "temperature" in end:
        temperature: float | None = end["temperature"]
        return temperature
    clean = [row for row in end["evaluations"] if (row["split"], row["shift"]) == ("val", "clean")]
    return clean[0].get("temperature") if clean else None
