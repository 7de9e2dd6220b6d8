"""The terminal: text is shown as it is, and during a run nobody else is on it.

During a run descriptors 1 and 2 go to run.log and only our console keeps the terminal.
Ray's C++ processes and libraries write to the descriptors directly, past Python's sys.stdout, so this is the one place that catches all.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.text import Text


def our_console(file: TextIO | None = None) -> Console:
    """A console that reads no markup and colours no numbers: names and messages are shown as they are."""
    return Console(file=file, markup=False, highlight=False)


def say(console: Console, text: str) -> None:
    """Print one line as it is, unbroken, so that paths and commands can be copied."""
    console.print(Text(text), soft_wrap=True)


@contextlib.contextmanager
def only_our_console(log: Path) -> Iterator[Console]:
    """A console on the real standard output, while everything else that is printed lands in `log`."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with log.open("ab") as sink, os.fdopen(os.dup(saved[0]), "w", encoding="utf-8", errors="replace") as screen:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
        try:
            yield our_console(screen)
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError):  # the disk is full
                    stream.flush()
            for descriptor, original in zip((1, 2), saved, strict=True):
                os.dup2(original, descriptor)
                os.close(original)


def log(text: str) -> None:
    """A text for run.log, where prints go during a run; a full disk costs the text, not the run."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def percent(fraction: float | None) -> str:
    """A share as percent with one digit, without the sign; `-` for none."""
    return "-" if fraction is None else f"{100 * fraction:.1f}"


def short_path(path: Path) -> str:
    """Relative to here where that is shorter."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
