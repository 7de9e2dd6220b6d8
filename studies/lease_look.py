"""Whether a run in an object store is held, seen by someone who writes nothing there and may not be allowed to."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

from studies.lease import NAME, Timing, read_lease
from studies.remote_folder import RemoteFolder

EVERY: Final = 10.0  # seconds: a store is not asked more often; half of the time in which a holder renews its lease


class LeaseLook:
    """Looks at the lease of one run, as often as wanted.

    A store's clock can only be read by writing to it. So the first look takes the age of a lease by the clock of this machine; from then on
    it counts since when the lease has been the same, which no clock that is wrong can disturb.

    Args:
        folder: of the run.
        timing: of its holder.
        every: seconds for which an answer is given again without asking the store.
    """

    def __init__(self, folder: RemoteFolder, timing: Timing | None = None, *, every: float = EVERY) -> None:
        self._folder, self._timing, self._every = folder, timing or Timing(), every
        self._asked: float | None = None  # when, by time.monotonic(), as is `_renewed`
        self._held, self._content, self._renewed = False, b"", 0.0

    def is_held(self) -> bool:
        """Whether a process holds the lease, as far as can be told without waiting.

        Raises:
            StorageError: the store does not answer.
        """
        now = time.monotonic()
        if self._asked is None or now - self._asked >= self._every:
            self._held = self._look(now)
            self._asked = now
        return self._held

    def _look(self, now: float) -> bool:
        content, holder = read_lease(self._folder)
        if content is None or (holder is not None and holder.is_gone()):
            return False
        if holder is not None and holder.is_here():
            return True
        if self._asked is None:
            written = self._folder.written(NAME)
            if written is None:
                return False
            self._renewed = now - max(0.0, (datetime.now(UTC) - written).total_seconds())
        elif content != self._content:
            self._renewed = now
        self._content = content
        return now - self._renewed <= self._timing.free_after
