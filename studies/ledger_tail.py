"""A ledger that another process appends to, read piece by piece."""

from __future__ import annotations

from pathlib import Path

from bsd_core.errors import StorageError, one_line
from studies.ledger import Event, LedgerReader


class LedgerTail:
    """Gives each event once, in order; a last line that is only half written waits until it is whole.

    Args:
        path: of the ledger, which may not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0

    def events(self) -> list[Event]:
        """What has been written since the last call, without measured rows, which a view does not show.

        Raises:
            StorageError: it cannot be read, or has become shorter than what was read: it is another ledger.
        """
        try:
            with self._path.open("rb") as file:
                if self._path.stat().st_size < self._read:
                    raise StorageError(f"{str(self._path)!r} has become shorter, so it is no longer the run that was watched.")
                file.seek(self._read)
                found = file.read()
        except FileNotFoundError:
            if self._read:
                raise StorageError(f"{str(self._path)!r} is no longer there.") from None
            return []
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(f"Cannot read {str(self._path)!r}: {one_line(error, limit=120)}.") from error
        whole = found[: found.rfind(b"\n") + 1]
        self._read += len(whole)
        return list(LedgerReader.of_lines(whole.splitlines(keepends=True), without=("evaluations", "reliability")))
