"""What `verify` found, kept beside the report: report/verified.json. It speaks of the tables it saw, and of no others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from studies.run_folder import write_atomically

_TABLES: Final = ("trials", "epochs", "evaluations", "reliability")


@dataclass(frozen=True)
class Verified:
    """A result of `verify`.

    Attributes:
        when: it ended, UTC.
        agree: whether all agreed.
        lines: what it said, a line a check.
        tables: digests of what it saw.
    """

    when: str
    agree: bool
    lines: list[str]
    tables: dict[str, str]


def write_verified(run: Path, *, agree: bool, lines: Sequence[str]) -> None:
    """Keep a result.

    Raises:
        StorageError: it cannot be written.
    """
    found = Verified(datetime.now(UTC).isoformat(timespec="seconds"), agree, list(lines), _digests(run))
    write_atomically(_file(run), json.dumps(asdict(found), indent=1).encode())


def read_verified(run: Path) -> Verified | None:
    """The last result, if it is of the tables as they are now."""
    try:
        content: Any = json.loads(_file(run).read_bytes())
        found = Verified(str(content["when"]), content["agree"] is True, [str(line) for line in content["lines"]], content["tables"])
        return found if found.tables == _digests(run) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _file(run: Path) -> Path:
    return run / "report" / "verified.json"


def _digests(run: Path) -> dict[str, str]:
    found = {}
    for name in _TABLES:
        with (run / "tables" / f"{name}.parquet").open("rb") as file:
            found[name] = hashlib.file_digest(file, "blake2b").hexdigest()[:32]
    return found
