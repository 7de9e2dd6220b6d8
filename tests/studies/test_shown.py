"""What was shown of a run is shown again at once while nothing has changed, and made again as soon as something has."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from studies import shown
from studies.results import write_results
from studies.run_folder import RunFolder
from studies.shown import show_front, show_unchanged_front
from studies.statistics.file import DOCUMENT_VERSION
from tests.studies._dummies import make_events, make_run, write_ledger
from tests.studies._played_runs import copy_run, with_cell

TRIALS = [("bsd/none", 0, 0.9, 0.1), ("bsd/none", 1, 0.8, 0.05), ("cross_entropy/none", 0, 0.7, 0.2), ("cross_entropy/none", 1, None, 0.0)]


def show_all(run: RunFolder) -> str:
    tables = write_results(run)
    assert tables is not None
    console = Console(file=io.StringIO(), width=80)
    show_front(run, tables, console)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def show_again(run: RunFolder) -> str | None:
    """What is shown without making anything; None if that cannot be."""
    console = Console(file=io.StringIO(), width=80)
    done = show_unchanged_front(run, console)
    text = str(console.file.getvalue())  # type: ignore[attr-defined]
    assert bool(text) == done
    return text if done else None


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, str]:
    """A run whose front was shown, and what was seen."""
    run = make_run(tmp_path_factory.mktemp("finished"), make_events(*TRIALS))
    return run, show_all(run)


def test_a_front_that_has_not_changed_is_shown_again_and_nothing_is_written(finished: tuple[RunFolder, str]) -> None:
    run, screen = finished
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    assert show_again(run) == screen
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before


def grow(run: RunFolder) -> None:
    write_ledger(run.ledger, make_events(("bsd/none", 2, 0.95, 0.01)))


def edit_trials(run: RunFolder) -> None:
    path = run.tables / "trials.parquet"
    table = pq.read_table(path)
    pq.write_table(with_cell(0, "val_accuracy", None)(table).replace_schema_metadata(table.schema.metadata), path)


def edit_statistics(run: RunFolder) -> None:
    run.statistics.write_bytes(run.statistics.read_bytes() + b"\n")


def edit_study(run: RunFolder) -> None:
    path = run.path / "study.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("question:", "question: Really,"), encoding="utf-8")


def other_program(run: RunFolder) -> None:
    stamp = shown._stamp(run)
    stamp.write_text(json.dumps(json.loads(stamp.read_bytes()) | {"version": "0.0.1"}), encoding="utf-8")


@pytest.mark.parametrize(
    "change",
    [
        grow,
        edit_trials,
        edit_statistics,
        edit_study,
        other_program,
        lambda run: run.ledger.unlink(),
        lambda run: (run.figures / "front.svg").unlink(),
        lambda run: (run.tables / "epochs.parquet").unlink(),
        lambda run: run.statistics.unlink(),
        lambda run: shown._stamp(run).unlink(),
        lambda run: shown._stamp(run).write_bytes(b"\xff["),
    ],
)
def test_a_front_that_has_changed_is_made_again(
    change: Callable[[RunFolder], object], finished: tuple[RunFolder, str], tmp_path: Path
) -> None:
    run = copy_run(finished[0], tmp_path)
    assert show_again(run) is not None
    change(run)
    assert show_again(run) is None
    if run.ledger.exists():
        assert show_again(run) is None or show_all(run) == show_again(run)


def write_stamped(run: RunFolder, document: Any) -> None:
    """Other statistics, stamped as those that were shown last."""
    run.statistics.write_text(json.dumps(document), encoding="utf-8")
    stamp = shown._stamp(run)
    files = shown._digests(run, (*shown._SOURCES, *shown._MADE))
    stamp.write_text(json.dumps(json.loads(stamp.read_bytes()) | {"files": files}), encoding="utf-8")


ODD_ARMS: dict[str, Any] = {"schema_version": DOCUMENT_VERSION, "budgets": {"arms": [{"arm": 3, "sampler": "tpe"}]}}


@pytest.mark.parametrize("document", [[], {}, {"schema_version": DOCUMENT_VERSION}, ODD_ARMS, "nonsense"])
def test_statistics_that_a_stranger_stamped_are_no_traceback(document: Any, finished: tuple[RunFolder, str], tmp_path: Path) -> None:
    run = copy_run(finished[0], tmp_path)
    write_stamped(run, document)
    assert show_again(run) is None


@pytest.mark.parametrize("version", [{}, {"schema_version": "0"}])
def test_statistics_of_another_version_are_made_again(version: dict[str, str], finished: tuple[RunFolder, str], tmp_path: Path) -> None:
    run = copy_run(finished[0], tmp_path)
    document = json.loads(run.statistics.read_bytes())
    write_stamped(run, document)
    assert show_again(run) is not None
    write_stamped(run, {name: value for name, value in document.items() if name != "schema_version"} | version)
    assert show_again(run) is None
    show_all(run)
    assert json.loads(run.statistics.read_bytes()) == document


def test_an_unchanged_front_needs_no_heavy_library(finished: tuple[RunFolder, str]) -> None:
    run, _ = finished
    lines = [
        "import sys",
        "from studies.cli import main",
        f"sys.argv = ['studies', 'front', {str(run.path)!r}]",
        "try: main()",
        "except SystemExit as left: assert not left.code",
        "heavy = {'torch', 'ray', 'scipy', 'sklearn', 'matplotlib', 'pandas'} & set(sys.modules)",
        "assert not heavy, heavy",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 failed" not in done.stdout
    assert "3 finished trials, 1 failed" in done.stdout
