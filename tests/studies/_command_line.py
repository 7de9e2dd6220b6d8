"""The command line in this process, for what a test has replaced in it."""

from __future__ import annotations

import sys

import pytest

from studies import cli


def main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """`python -m studies ...`; its exit code."""
    monkeypatch.setattr(sys, "argv", ["studies", *arguments])
    with pytest.raises(SystemExit, match=r"^\d*$|^None$") as ended:
        cli.main()
    return int(ended.value.code or 0)
