"""An Optuna journal that is gathered in memory and written at once: Optuna's own file is synced, under a lock, for every trial."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from studies.run_folder import write_atomically


class JournalInMemory(BaseJournalBackend):
    """What a `JournalStorage` appends."""

    def __init__(self) -> None:
        self._logs: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """All from this one on."""
        return self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Some more."""
        self._logs += logs

    def write(self, path: Path) -> None:
        """A file that Optuna's JournalFileBackend reads, whole or not at all: one JSON object a line.

        Raises:
            StorageError: it cannot be written.
        """
        lines: Iterable[str] = (json.dumps(log, separators=(",", ":")) for log in self._logs)
        write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
