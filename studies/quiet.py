"""Keep everyone else off the screen: during a run, descriptors 1 and 2 go to run.log and only our console keeps the terminal.

Ray's C++ processes and libraries write to the descriptors directly, past Python's sys.stdout, so this is the one place that catches all.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console


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
            yield Console(file=screen)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, original in zip((1, 2), saved, strict=True):
                os.dup2(original, descriptor)
                os.close(original)
