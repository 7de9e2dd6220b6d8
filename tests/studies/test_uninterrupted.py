from __future__ import annotations

import signal
import subprocess
import sys
from threading import Thread

import pytest

from studies.uninterrupted import uninterrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_for_the_end_of_the_context(number: signal.Signals) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before, steps = signal.signal(number, interrupt), []
    try:
        with pytest.raises(KeyboardInterrupt), uninterrupted():  # noqa: PT012
            signal.raise_signal(number)
            signal.raise_signal(number)
            steps.append("whole")
        assert signal.getsignal(number) is interrupt
    finally:
        signal.signal(number, before)
    assert steps == ["whole"]


def test_what_is_started_meanwhile_can_be_interrupted() -> None:
    script = "import signal, sys; signal.raise_signal(signal.SIGTERM)"
    with uninterrupted():
        done = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert done.returncode == -signal.SIGTERM


def test_another_thread_leaves_signals_alone() -> None:
    handlers = []

    def work() -> None:
        with uninterrupted():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]
