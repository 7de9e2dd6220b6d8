"""Whether a process is at work on a run, found out without disturbing it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from bsd_core.errors import StorageError, one_line
from studies.lease_look import LeaseLook
from studies.run_folder import RunFolder

_BEGINNING: Final = timedelta(seconds=30)  # what a run can take from its folder to its lock: labels with noise are written between them


def is_at_work(run: RunFolder) -> bool:
    """Whether a process holds the run, or is about to; nothing is written.

    Raises:
        StorageError: it cannot be found out.
    """
    return look_at(run)()


def look_at(run: RunFolder) -> Callable[[], bool]:
    """The same, to be asked as often as wanted: an object store, where the lease says it, is asked only now and then."""
    return partial(_is_locked, run) if run.mirror is None else LeaseLook(run.mirror.remote).is_held


def _is_locked(run: RunFolder) -> bool:
    """The lock is asked for as a reader would, by a handle that can write nothing, and let go of at once.

    `RunFolder.lock` asks more than once, so that a process that begins just then is not refused.
    """
    try:
        file = os.open(run.path / ".lock", os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        begun = started(run)
        return begun is not None and timedelta(0) <= datetime.now(UTC) - begun < _BEGINNING
    except OSError as error:
        raise StorageError(f"Cannot read {str(run.path / '.lock')!r}: {one_line(error, limit=120)}.") from error
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks, on which no run can be
        return False
    finally:
        os.close(file)
    return False


def started(run: RunFolder) -> datetime | None:
    """When it was begun: what its provenance says, else its id; None if neither does."""
    said = run.provenance().get("started")
    with contextlib.suppress(ValueError, TypeError, OverflowError):  # the last: of the year 1, east of Greenwich
        return datetime.fromisoformat(said).astimezone(UTC)  # type: ignore[arg-type]
    return begun_by_id(run.run_id)


def begun_by_id(run_id: str) -> datetime | None:
    """When a run was begun, as its id has it; None if that is no time."""
    with contextlib.suppress(ValueError):
        return datetime.strptime(run_id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return None
