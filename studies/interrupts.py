"""Who ends a study from outside: Ctrl-C and SIGTERM are answered alike and soon, whatever the study is doing."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from studies.process_groups import end_groups

INTERRUPTED: Final = 130
TERMINATED: Final = 143
PATIENCE: Final = 7.0  # seconds; some who send a signal kill after ten


class Termination:
    """SIGTERM as KeyboardInterrupt, at once; further ones are ignored, since some senders (`timeout` is one) send two.

    Python answers a signal between two of its own instructions only, and Ray can be waited for in none: joining a Ray that was ended by
    the same signal takes half a minute. So a thread hears of signals, too, and ends a process that does not come to answer. It cannot while
    Ray keeps all of Python waiting, as in the moment in which it starts its first server: should that be ended just then, it is waited for.

    Args:
        last_words: what to say then.

    Attributes:
        came: whether SIGTERM did. The exception itself cannot say: Ray replaces it by one of its own.
    """

    def __init__(self, last_words: Callable[[], str]) -> None:
        self.came = False
        self._last_words, self._answered = last_words, threading.Event()

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
    def ended_if_unanswered(self) -> Iterator[None]:
        """Within, a process that has not left `PATIENCE` seconds after a signal ends."""
        heard, tell = os.pipe()
        os.set_blocking(tell, False)
        before = signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        screen = os.dup(1)
        watch = threading.Thread(target=self._watch, args=(heard, screen), daemon=True)
        watch.start()
        try:
            yield
        finally:
            self._answered.set()
            signal.set_wakeup_fd(before)
            os.close(tell)
            watch.join()
            os.close(heard)
            os.close(screen)

    def _watch(self, heard: int, screen: int) -> None:
        while numbers := os.read(heard, 64):
            code = TERMINATED if signal.SIGTERM in numbers else INTERRUPTED if signal.SIGINT in numbers else None
            if code is not None and not self._answered.wait(PATIENCE):
                with contextlib.suppress(OSError):
                    os.write(screen, f"{self._last_words()}\n".encode(errors="replace"))
                end_groups()
                os._exit(code)


@contextmanager
def termination_as_interrupt(last_words: Callable[[], str]) -> Iterator[Termination]:
    """Listen for SIGTERM as long as the context lasts."""
    before = signal.getsignal(signal.SIGTERM)
    termination = Termination(last_words)
    termination.listen()
    try:
        with termination.ended_if_unanswered():
            yield termination
    finally:
        signal.signal(signal.SIGTERM, before)
