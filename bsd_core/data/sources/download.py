"""torchvision's downloads, made quiet, and impatient with a network that does not answer."""

from __future__ import annotations

import contextlib
import io
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bsd_core.errors import DataError, one_line


@contextlib.contextmanager
def _patience(seconds: float) -> Iterator[None]:
    old = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(old)


def download(fetch: Callable[[], object], name: str, data_dir: Path) -> None:
    """Run `fetch`, which puts the files of `name` into `data_dir`.

    Raises:
        DataError: anything went wrong; the message says what can be done instead.
    """
    # torchvision draws a progress bar: welcome on a terminal, noise in a log.
    quiet = contextlib.nullcontext() if sys.stderr.isatty() else contextlib.redirect_stderr(io.StringIO())
    try:
        with _patience(20), quiet, contextlib.redirect_stdout(io.StringIO()):
            fetch()
    except Exception as error:
        raise DataError(
            f"{name} is neither in {str(data_dir)!r} nor could it be downloaded ({one_line(error, limit=120)}). Connect to a "
            "network, put the files there, set data_dir=..., or use dataset=digits, which needs no download."
        ) from error
