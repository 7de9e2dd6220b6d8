"""Signals that nobody answers, as while Ray is waited for outside of Python."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from studies import interrupts
from studies.interrupts import termination_as_interrupt

# Goes on whatever interrupts it, as a call into C++ does.
DEAF = """
import sys, time
from studies import interrupts

def wait():
    said, end = False, time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if not said:
                said = True
                print("waiting", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            pass

interrupts.PATIENCE = 0.2
with interrupts.termination_as_interrupt(lambda: "last words"):
    wait()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_process_that_does_not_answer_a_signal_is_ended(number: signal.Signals, code: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(number)
    screen, _ = process.communicate(timeout=30)
    assert (process.returncode, screen) == (code, "last words\n")


def test_a_signal_that_is_answered_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "PATIENCE", 0.2)
    handler, wakeup = signal.getsignal(signal.SIGTERM), signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    with pytest.raises(KeyboardInterrupt), termination_as_interrupt(lambda: "last words") as termination:  # noqa: PT012
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    assert termination.came
    time.sleep(0.5)  # longer than its patience
    assert signal.getsignal(signal.SIGTERM) is handler
    assert signal.set_wakeup_fd(wakeup) == wakeup


def test_rays_answer_to_sigterm_is_taken_for_the_signal() -> None:
    with pytest.raises(KeyboardInterrupt), termination_as_interrupt(lambda: "") as termination, termination.kept_from_ray():
        sys.exit(signal.SIGTERM)
    assert termination.came
    with pytest.raises(SystemExit, match="3"), termination_as_interrupt(lambda: "") as termination, termination.kept_from_ray():
        sys.exit(3)
    assert not termination.came
