"""Real studies on a real local Ray, run as a user runs them: a process, its exit code, its screen and its files."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import studies

# Columns that depend on the machine and the moment, not on the numbers.
INCIDENTAL = {"run_id", "train_seconds", "evaluate_seconds", "images_per_second", "node", "device"}


@dataclass(frozen=True)
class Finished:
    """A study that ended."""

    code: int
    screen: str
    errors: str
    run: studies.Run


def command(*arguments: str) -> list[str]:
    """`python -m studies ...`."""
    return [sys.executable, "-m", "studies", *arguments]


def environment() -> dict[str, str]:
    """This process's own, with a Ray of its own and 80 columns."""
    return {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | {"COLUMNS": "80"}


def call(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """`python -m studies ...`, to its end."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=240, env=environment(), check=False)


def run_file(study: Path, results: Path, *overrides: str) -> Finished:
    """Run a study file to its end."""
    done = call("run", str(study), *overrides, "--results", str(results))
    return Finished(done.returncode, done.stdout, done.stderr, studies.load(study.stem, results=results))


def start(study: Path, results: Path, *overrides: str, own_group: bool = False) -> "subprocess.Popen[str]":
    """`studies run` as a process that goes on by itself."""
    return subprocess.Popen(
        command("run", str(study), *overrides, "--results", str(results)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
        start_new_session=own_group,
    )


def first_event(kind: str, process: "subprocess.Popen[str]", results: Path, *, suffix: str = "") -> dict[str, Any]:
    """Wait until the ledger of the running process has an event of this kind, of a trial whose id ends in `suffix`."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        for ledger in results.glob("*/2*/ledger.jsonl"):
            for line in ledger.read_text(encoding="utf-8").splitlines():
                event = json.loads(line) if line.endswith("}") else {}
                if event.get("event") == kind and event.get("trial_id", "").endswith(suffix):
                    return dict(event)
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"no event {kind!r}: {process.communicate()[0]}")


def numbers(run: studies.Run) -> list[dict[str, Any]]:
    """The trials table without what may differ between two equal runs."""
    return [{name: value for name, value in row.items() if name not in INCIDENTAL} for row in run.trials.to_pylist()]
