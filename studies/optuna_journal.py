"""An Optuna journal that is gathered in memory and written at once: Optuna's own file is synced, under a lock, for every trial."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend

from bsd_core.errors import DataError, one_line
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

    @classmethod
    def read(cls, path: Path) -> JournalInMemory:
        """A copy of a file, which stays as it is.

        Raises:
            DataError: it is no journal.
        """
        journal = cls()
        try:
            journal.append_logs([json.loads(line) for line in path.read_bytes().splitlines()])
            journal.storage().get_all_studies()
        except Exception as error:  # whatever Optuna makes of a stranger's lines
            raise DataError(f"{path}: not a readable Optuna journal ({one_line(error, limit=100)}).") from error
        return journal

    def storage(self) -> JournalStorage:
        """Optuna's view of it; what is changed there is changed here alone."""
        return JournalStorage(self)

    def write(self, path: Path) -> None:
        """A file that Optuna's JournalFileBackend reads, whole or not at all: one JSON object a line.

        Raises:
            StorageError: it cannot be written.
        """
        lines: Iterable[str] = (json.dumps(log, separators=(",", ":")) for log in self._logs)
        write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
