from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from studies.commands import command


def test_a_command_can_be_typed_as_it_is_said() -> None:
    done = subprocess.run(command("describe", "quick"), shell=True, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("quick")


def test_places_are_short_and_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    assert command("front", tmp_path / "my results" / "run") == ".venv/bin/python -m studies front 'my results/run'"
    assert command(module="studies.local_cluster") == ".venv/bin/python -m studies.local_cluster"
    words = shlex.split(command("resume", Path("/elsewhere/run"), "--results", "s3://bucket/a?b=c&d=e"))
    assert words[3:] == ["resume", "/elsewhere/run", "--results", "s3://bucket/a?b=c&d=e"]
