from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from studies.commands import command

STUDIES = Path(__file__).resolve().parents[2] / "studies"


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


def test_no_message_names_a_command_in_another_way() -> None:
    """Of the package: what stands outside of docstrings, which name the program in short."""
    found = []
    for path in sorted(STUDIES.rglob("*.py")):
        text = re.sub(r'""".*?"""', "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        found += [path.name for line in text.splitlines() if re.search(r"python -m |-m studies|sys\.executable\)\)", line)]
    assert found == ["columns.py", "commands.py"]  # the first is of docs/columns.md, which is the same on every machine
