"""Faults from within, for tests: see `sitecustomize.py`, which the processes of a study load; here is the tests' side of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def injected(log: Path, faults: Mapping[str, str] | None = None) -> Iterator[Path]:
    """Studies that are started meanwhile go wrong.

    Args:
        log: where they write down what `sitecustomize.py` says.
        faults: by trial id, the name of a function there.
    """
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        patch.setenv("INJECTED_LOG", str(log))
        patch.setenv("INJECTED_FAULTS", json.dumps(dict(faults or {})))
        yield log


def log_lines(log: Path, kind: str) -> list[dict[str, Any]]:
    """Lines of the log that have `kind`."""
    if not log.exists():
        return []
    lines = log.read_text(encoding="utf-8").splitlines()
    return [line for line in map(json.loads, filter(lambda text: text.endswith("}"), lines)) if kind in line]


def at_work(log: Path) -> dict[str, int]:
    """By trial id, the process that trains it, or that has just done so."""
    latest = {line["pid"]: line["trial"] for line in log_lines(log, "trial")}
    return {trial_id: pid for pid, trial_id in latest.items()}
