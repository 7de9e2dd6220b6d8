"""What `verify` found, kept beside the report: report/verified.json. It speaks of the files it saw, and of no others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bsd_core.errors import printable
from studies.run_folder import write_atomically

_READ: Final = (
    *("study.yaml", "provenance.json", "ledger.jsonl", "report/statistics.json", "labels/*.parquet"),
    *("tables/*.parquet", "tables/predictions/*.parquet", "tables/features/*.parquet"),
)
_MAX_BYTES: Final = 65_536  # of a file that anybody may have written; ours have about one thousand
_MAX_LINES: Final = 16  # there are five checks


@dataclass(frozen=True)
class Verified:
    """A result of `verify`.

    Attributes:
        when: it ended, UTC.
        agree: whether all agreed.
        lines: what it said, a line a check.
        files: one digest of all that it saw.
    """

    when: str
    agree: bool
    lines: list[str]
    files: str


def digests(run: Path) -> dict[str, str]:
    """Digests of the contents of all files that `verify` reads, by their place in the run's folder.

    Contents, not times of change: a copy of a run is as verified as the run is, and what was changed is not, whatever its times say.
    """
    paths = [path for pattern in _READ for path in run.glob(pattern) if path.is_file()]
    return {path.relative_to(run).as_posix(): _digest(path) for path in sorted(paths)}


def changed_files(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Those that are new, gone or different, in order.

    Args:
        before, after: from `digests`.
    """
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def write_verified(run: Path, seen: Mapping[str, str], *, agree: bool, lines: Sequence[str]) -> None:
    """Keep a result.

    Args:
        run: its folder.
        seen: `digests` of it from before the check, equal to those after it.
        agree: whether all agreed.
        lines: what was said.

    Raises:
        StorageError: it cannot be written.
    """
    found = Verified(datetime.now(UTC).isoformat(timespec="seconds"), agree, [printable(line) for line in lines], _digest_of_all(seen))
    write_atomically(_file(run), json.dumps(asdict(found), indent=1).encode())


def read_verified(run: Path) -> Verified | None:
    """The last result, if it is of the files as they are now."""
    try:
        with _file(run).open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            return None
        found = _from_json(json.loads(content))
        return found if found.files == _digest_of_all(digests(run)) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _from_json(document: Any) -> Verified:
    when, lines, files = document["when"], document["lines"], document["files"]
    if not (isinstance(lines, list) and len(lines) <= _MAX_LINES and all(isinstance(text, str) for text in (when, files, *lines))):
        raise ValueError("Not a result of `verify`.")
    return Verified(printable(when), document["agree"] is True, [printable(line) for line in lines], files)


def _file(run: Path) -> Path:
    return run / "report" / "verified.json"


def _digest(path: Path) -> str:
    """Empty of a file that cannot be read: whoever needs it says why."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()[:32]
    except OSError:
        return ""


def _digest_of_all(found: Mapping[str, str]) -> str:
    text = json.dumps(found, sort_keys=True)  # ASCII, whatever the names of files are
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
