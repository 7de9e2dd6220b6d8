"""Who ends a study from outside: Ctrl-C and SIGTERM, as exceptions alike, so that it says how to go on whoever ends it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(KeyboardInterrupt):
    """SIGTERM came; further ones are ignored, since some senders (`timeout` is one) send two."""


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """SIGTERM raises Terminated at once for as long as the context lasts."""
    before = signal.getsignal(signal.SIGTERM)
    take_termination()
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def take_termination() -> None:
    """SIGTERM raises Terminated from now on; to be called again after Ray started, which takes the signal for itself."""
    signal.signal(signal.SIGTERM, _raise_terminated)


@contextmanager
def rays_exit_as_termination() -> Iterator[None]:
    """While Ray starts, it answers SIGTERM by SystemExit."""
    try:
        yield
    except SystemExit as left:
        if left.code != signal.SIGTERM:
            raise
        raise Terminated from left
    take_termination()


def _raise_terminated(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated
