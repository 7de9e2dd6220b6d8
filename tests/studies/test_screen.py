from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bsd_core.errors import StorageError
from studies.screen import only_our_console

NOISY = """
import os, subprocess, sys
from pathlib import Path
from studies.screen import only_our_console

print("before")
with only_our_console(Path(sys.argv[1])) as console:
    console.print("ours")
    print("from Python")
    print("from Python, an error", file=sys.stderr)
    os.write(1, b"from C++\\n")
    os.write(2, b"from C++, an error\\n")
    subprocess.run(["echo", "from a child"], check=True)
print("after")
"""


def test_only_our_console_reaches_the_screen(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    done = subprocess.run([sys.executable, "-c", NOISY, str(log)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["before", "ours", "after"]
    assert done.stderr == ""
    lines = log.read_text(encoding="utf-8").splitlines()
    assert sorted(lines) == ["from C++", "from C++, an error", "from Python", "from Python, an error", "from a child"]


def test_the_screen_is_as_before_afterwards_even_after_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError, match="oops"), only_our_console(tmp_path / "run.log"):
        raise KeyError("oops")
    os.write(1, b"out\n")
    os.write(2, b"err\n")
    assert capfd.readouterr() == ("out\n", "err\n")


def test_the_log_is_appended_to(tmp_path: Path) -> None:
    for text in (b"first\n", b"second\n"):
        with only_our_console(tmp_path / "run.log"):
            os.write(1, text)
    assert (tmp_path / "run.log").read_bytes() == b"first\nsecond\n"


FULL = """
from pathlib import Path
from studies.screen import log, only_our_console, say

with only_our_console(Path("/dev/full")) as console:
    print("for the log")
    log("a traceback for the log")
    say(console, "for the user")
print("after")
"""


def test_what_a_full_disk_keeps_from_the_log_does_not_come_out_on_the_screen() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, check=True, env=environment)
    assert (done.stdout, done.stderr) == ("for the user\nafter\n", "")


def test_a_log_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"^Cannot write '.*run.log': "), only_our_console(tmp_path / "gone" / "run.log"):
        raise AssertionError("begun without a log")
