"""Who ends a study from outside: Ctrl-C and SIGTERM are answered alike, so that it says how to go on whoever ends it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Termination:
    """SIGTERM as KeyboardInterrupt, at once; further ones are ignored, since some senders (`timeout` is one) send two.

    Attributes:
        came: whether it did. The exception itself cannot say: Ray replaces it by one of its own.
    """

    def __init__(self) -> None:
        self.came = False

    def listen(self) -> None:
        """From now on."""
        signal.signal(signal.SIGTERM, self._interrupt)

    @contextmanager
    def kept_from_ray(self) -> Iterator[None]:
        """To be held around Ray's start, in which Ray answers SIGTERM by SystemExit, and takes the signal for good."""
        try:
            yield
        except SystemExit as left:
            if left.code != signal.SIGTERM:
                raise
            self.came = True
            raise KeyboardInterrupt from left
        self.listen()

    def _interrupt(self, number: int, frame: object) -> None:
        self.came = True
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt


@contextmanager
def termination_as_interrupt() -> Iterator[Termination]:
    """Listen for SIGTERM as long as the context lasts."""
    before = signal.getsignal(signal.SIGTERM)
    termination = Termination()
    termination.listen()
    try:
        yield termination
    finally:
        signal.signal(signal.SIGTERM, before)
