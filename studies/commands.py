"""What a user types: the commands of this program as this very Python can be asked for them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from studies.remote_folder import RemoteFolder
from studies.screen import short_path


def command(*words: str | Path | RemoteFolder, module: str = "studies") -> str:
    """A line that can be pasted into a shell: `.venv/bin/python -m studies resume results/quick/latest`.

    Args:
        words: a command and its arguments; of a run, where its results are. None: the program alone.
        module: that is run.
    """
    python = short_path(Path(sys.executable))
    return shlex.join([python, "-m", module, *(word if isinstance(word, str) else short_path(word) for word in words)])
