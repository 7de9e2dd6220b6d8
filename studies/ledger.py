"""The run's ledger: one JSON object a line, only ever appended to. It is the truth; tables are built from it.

Events: `suggest` (a trial was handed out), `epochs` (rows of one trial), `end` (a trial ended; synced to disk before the search is told),
`confirm` (settings were chosen, and the test split opened).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bsd_core.errors import StorageError, one_line

Event = dict[str, Any]


class Ledger:
    """Appends events to a file.

    Args:
        path: created if missing; a half-written last line of an earlier process is cut off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists():
            _cut_half_line(path)
        self._file = path.open("ab", buffering=0)

    def append(self, event: Event, *, sync: bool = False) -> None:
        """Write one event; with `sync`, return only when it is on the disk.

        Raises:
            StorageError: the disk is full, or cannot be written for another reason.
        """
        rest = memoryview(json.dumps(event, allow_nan=False, separators=(",", ":")).encode() + b"\n")
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            if sync:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise StorageError(f"Cannot write {str(self.path)!r}: {one_line(error, limit=120)}.") from error

    def close(self) -> None:
        """No more events."""
        self._file.close()


def _cut_half_line(path: Path) -> None:
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
        if end < size:
            file.truncate(end)


@dataclass(frozen=True)
class LedgerContents:
    """What a ledger says.

    Attributes:
        events: in the order they were written.
        broken_lines: lines that could not be read and were left out (a crash can leave half a line).
    """

    events: list[Event]
    broken_lines: int


def read_ledger(path: Path) -> LedgerContents:
    """All readable events of a ledger; a missing file is an empty ledger."""
    if not path.exists():
        return LedgerContents([], 0)
    with path.open("rb") as file:
        return parse_lines(file)


def parse_lines(lines: Iterable[bytes]) -> LedgerContents:
    """Events of JSON lines; a line that is no JSON object, or lacks what its kind of event must have, counts as broken."""
    events: list[Event] = []
    broken = 0
    for line in lines:
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if isinstance(event, dict) and _is_whole(event):
            events.append(event)
        else:
            broken += 1
    return LedgerContents(events, broken)


_NEEDS: dict[str, dict[str, type]] = {
    "suggest": {
        **dict.fromkeys(("phase", "arm", "method", "condition", "noise_kind", "trial_id"), str),
        **dict.fromkeys(("trial_number", "seed"), int),
        "params": dict,
    },
    "epochs": {"trial_id": str, "rows": list},
    "confirm": {"chosen": dict, "opened": str, "test_fingerprint": str},
    "end": {"trial_id": str, "state": str, "metrics": dict, "evaluations": list, "reliability": list},
}


def own_temperature(end: Event) -> float | None:
    """The temperature that a trial's `end` event tells; before there was a confirm phase, its clean validation row alone had it.

    None where it failed, was stopped, or trained on the validation images.
    """
    clean = [row for row in end["evaluations"] if (row["split"], row["shift"]) == ("val", "clean")]
    temperature: float | None = end["temperature"] if "temperature" in end else clean[0].get("temperature") if clean else None
    return temperature


def _is_whole(event: Event) -> bool:
    kind = event.get("event")
    if not isinstance(kind, str) or not all(isinstance(event.get(name), type_) for name, type_ in _NEEDS.get(kind, {}).items()):
        return False
    if kind == "end" and event["state"] == "complete":
        metrics = event["metrics"]
        return any(
            all(isinstance(metrics.get(f"{split}_{name}"), int | float) for name in ("accuracy", "ece")) for split in ("val", "test")
        )
    return True
