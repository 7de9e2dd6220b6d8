"""What a stranger could put into files that somebody else reads, and commands run on them in this process."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from studies import cli
from studies.run_folder import RunFolder
from tests.studies._played_runs import played_here
from tests.studies._watch import watched

COMMANDS = ("front", "report", "verify", "resume", "retrain")
Damage = Callable[[Path], object]  # of a run folder


class Trap:
    """Makes a folder when it is unpickled by a reader that executes."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.canary),)


def payloads(canary: Path) -> dict[str, bytes]:
    """The trap as a bare pickle, and as both kinds of file of torch.save."""
    trap = Trap(canary)
    archive, legacy = io.BytesIO(), io.BytesIO()
    torch.save({"model": trap}, archive)
    torch.save({"model": trap}, legacy, _use_new_zipfile_serialization=False)
    return {"pickle": pickle.dumps(trap), "archive": archive.getvalue(), "legacy": legacy.getvalue()}


NONSENSE = {
    "nothing": b"",
    "deep list": b"[" * 200_000,
    "deep object": b'{"a":' * 100_000,
    "huge number": b"9" * 5000,
    "not a number": b'{"event": NaN, "data": 1e999, "packages": Infinity, "test": -0}',
    "null": b"null",
    "parquet in name": b"PAR1" + bytes(100) + b"PAR1",
    "huge footer": b"PAR1" + bytes(100) + b"\xff\xff\xff\x7f" + b"PAR1",
}


class Answer(NamedTuple):
    """What a command did.

    Attributes:
        code: its exit code.
        printed, errors: what went to standard output and error.
        done: what it wrote and started.
    """

    code: int
    printed: str
    errors: str
    done: list[str]


def command(*arguments: str) -> Answer:
    """`python -m studies ...` in this process; trials of a run that goes on are played."""
    printed, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, played_here(), watched() as done:
        patch.setattr(sys, "argv", ["studies", *arguments])
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors), pytest.raises(SystemExit) as ended:
            cli.main()
    return Answer(int(ended.value.code or 0), printed.getvalue(), errors.getvalue(), done)


def call(name: str, run: RunFolder) -> Answer:
    """One of `COMMANDS` on a run."""
    return command(name, str(run.path), *(["cross_entropy-none-0000"] if name == "retrain" else []))


def assert_harmless(answer: Answer, run: RunFolder, *allowed: int) -> None:
    """It ends as it may, in one line where that is an error; it wrote into the run folder alone, and started nothing but git."""
    assert answer.code in (allowed or (0, 1, 2)), answer
    if answer.code == 2:
        assert answer.errors.startswith("error: "), answer
        assert answer.errors.count("\n") == 1, answer
        assert len(answer.errors) <= 620, answer
    else:
        assert answer.errors == "", answer
    strange = [line for line in answer.done if str(run.path) not in line and "['git', '-C'" not in line]
    assert [line for line in strange if not _is_of_libraries(line)] == []


def _is_of_libraries(line: str) -> bool:
    """A descriptor that is open already, and a library's temporary file."""
    return line.startswith("open ") and ("'" not in line or f"{tempfile.gettempdir()}/tmp" in line or "matplotlib" in line)


def edited(lines: list[str], number: int, change: Callable[[dict[str, Any]], object]) -> list[str]:
    """The lines of a ledger with one event changed in place."""
    event = json.loads(lines[number])
    change(event)
    return [*lines[:number], json.dumps(event), *lines[number + 1 :]]
