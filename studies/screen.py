"""The terminal: text is shown as it is, and during a run nobody else is on it.

During a run descriptors 1 and 2 go to run.log and only our console keeps the terminal.
Ray's C++ processes and libraries write to the descriptors directly, past Python's sys.stdout, so this is the one place that catches all.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from bsd_core.errors import StorageError, one_line
from studies.remote_folder import RemoteFolder

# What steers a terminal instead of being shown: control characters, half surrogate pairs, and what turns the direction of writing.
_STEERING: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class _HarmlessConsole(Console):
    """Shows a replacement character for each that would steer the terminal: texts may come from a stranger's study or ledger."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(_STEERING.sub("\ufffd", segment.text), segment.style)


def our_console(file: TextIO | None = None) -> Console:
    """A console that reads no markup, colours no numbers and obeys no escape sequences: names and messages are shown as they are."""
    return _HarmlessConsole(file=file, markup=False, highlight=False, emoji=False)


def say(console: Console, text: str) -> None:
    """Print one line as it is, unbroken, so that paths and commands can be copied."""
    console.print(Text(text), soft_wrap=True)


@contextlib.contextmanager
def only_our_console(log: Path) -> Iterator[Console]:
    """A console on the real standard output, while everything else that is printed lands in `log`."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with _opened(log) as sink, os.fdopen(os.dup(saved[0]), "w", encoding="utf-8", errors="replace") as screen:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
        try:
            yield our_console(screen)
        finally:
            for stream in (sys.stdout, sys.stderr):
                _flush(stream)
            for descriptor, original in zip((1, 2), saved, strict=True):
                os.dup2(original, descriptor)
                os.close(original)


def _flush(stream: TextIO) -> None:
    """What cannot reach the log, since the disk is full, is dropped: it would come out on the terminal afterwards."""
    try:
        stream.flush()
    except OSError:
        with open(os.devnull, "wb") as nowhere, contextlib.suppress(OSError):
            os.dup2(nowhere.fileno(), stream.fileno())
            stream.flush()


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("ab")
    except OSError as error:
        raise StorageError(f"Cannot write {str(path)!r}: {one_line(error, limit=120)}.") from error


def log(text: str) -> None:
    """A text for run.log, where prints go during a run; a full disk costs the text, not the run."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def percent(fraction: float | None) -> str:
    """A share as percent with one digit, without the sign; `-` for none."""
    return "-" if fraction is None else f"{100 * fraction:.1f}"


def short_path(place: Path | RemoteFolder) -> str:
    """Relative to here where that is shorter; of a folder in an object store, its URI."""
    return str(place.relative_to(Path.cwd())) if isinstance(place, Path) and place.is_relative_to(Path.cwd()) else str(place)
