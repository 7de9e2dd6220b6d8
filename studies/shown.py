"""What every run ends with, and what `front` shows at any time: the fronts, what was confirmed, and where everything is.

All of it rests on the tables, and on statistics and figures made from them. These are kept, so a run that has not gone on since is shown
without computing anything again. Nothing here imports Torch, or SciPy before it is needed: `front` is to answer at once.
"""

from __future__ import annotations

import hashlib
import json
import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from rich.console import Console

from bsd_core import __version__
from bsd_core.errors import StorageError, one_line
from studies.commands import command
from studies.front import FrontInfo, collect_front, render_front
from studies.report.palette import styles
from studies.report.scatter import fits, render_scatter
from studies.report.terminal import print_summary
from studies.robustness import collect_robustness, render_robustness
from studies.run_folder import RunFolder, write_atomically
from studies.screen import log, say, short_path
from studies.statistics.file import read_statistics, write_statistics
from studies.tables import Tables, built_from, read_table


@dataclass(frozen=True)
class _Shown:
    """What is shown of a run.

    Attributes:
        trials: the table.
        document: of `collect_statistics`.
        info: the fronts.
    """

    trials: pa.Table
    document: Mapping[str, Any]
    info: FrontInfo

    @classmethod
    def of(cls, trials: pa.Table, evaluations: pa.Table, document: Mapping[str, Any]) -> _Shown:
        return cls(trials, document, collect_front(trials, evaluations, arms=_arms(document)))


def show_front(run: RunFolder, tables: Tables, console: Console, *, page: bool = False) -> None:
    """Compute the statistics, draw the fronts, print both, and say where everything is; shown also where nothing can be written.

    Args:
        run: where tables were just written.
        tables: these.
        console: to print on.
        page: whether to write the report's page, too, where there is none yet.

    Raises:
        DataError: a file of predictions is broken.
        StorageError: statistics or figures could not be written.
    """
    from studies.report.figures.front import draw_front
    from studies.report.figures.paper_style import draw_for_paper, save_for_paper
    from studies.report.infos.front import plane_of
    from studies.statistics.document import collect_statistics

    before = _digests(run, _SOURCES)
    document = collect_statistics(tables, run.spec(), run.predictions)
    shown = _Shown.of(tables.trials, tables.evaluations, document)
    problem: StorageError | None = None
    try:
        write_statistics(run, document)
        if shown.info.n_points:
            plane = plane_of(shown.info, document, run.place)
            looks = styles(arm.partition("/")[0] for arm in _arms(document))
            save_for_paper(draw_for_paper(draw_front, plane, looks), run.figures, "front")
        if page or run.page.is_file():  # one that is there would tell of earlier tables
            _write_page(run, tables, document, console)
        write_atomically(_stamp(run), json.dumps({"version": __version__, "files": before | _digests(run, _MADE)}).encode())
    except StorageError as error:
        problem = error
    _print(run, shown, console)
    if problem is not None:
        raise problem


def _write_page(run: RunFolder, tables: Tables, document: Mapping[str, Any], console: Console) -> None:
    """The page is the last step of what can have been days: whatever is wrong with it costs the page alone."""
    from studies.report.make import write_run_page

    try:
        write_run_page(run, tables, document)
    except StorageError:
        raise
    except Exception as error:
        log(traceback.format_exc())
        say(console, f"The page could not be made ({one_line(error, limit=120)}); see {short_path(run.log)}. All else is there.")


def show_unchanged_front(run: RunFolder, console: Console) -> bool:
    """Show what `show_front` showed last, if since then the ledger has not grown and no file has changed; whether it did."""
    try:
        with console.capture() as captured:
            _print(run, _unchanged(run), console)
    except Exception:  # a stranger can have written anything into these files; then all is made again from the ledger
        return False
    console.file.write(captured.get())
    return True


# Files below the run's folder that a front is shown from, and what is made of them.
_SOURCES: Final = ("study.yaml", "tables/trials.parquet", "tables/evaluations.parquet")
_MADE: Final = ("report/statistics.json", "report/figures/front.png", "report/figures/front.svg")


def _stamp(run: RunFolder) -> Path:
    """Says of which files the last front was made."""
    return run.path / "report" / ".shown.json"


def _digests(run: RunFolder, names: tuple[str, ...]) -> dict[str, str]:
    """By name; of files that are there."""
    paths = {name: run.path / name for name in names}
    return {name: _digest(path) for name, path in paths.items() if path.is_file()}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _unchanged(run: RunFolder) -> _Shown:
    """What was shown last.

    Raises:
        ValueError: it is no longer what is to be shown, or another error where a file is missing or broken.
    """
    now = {"version": __version__, "files": _digests(run, (*_SOURCES, *_MADE))}
    if json.loads(_stamp(run).read_bytes()) != now or built_from(run) != {str(run.ledger.stat().st_size).encode()}:
        raise ValueError(f"{run.path} has changed since its front was shown.")
    return _Shown.of(read_table(run, "trials"), read_table(run, "evaluations"), read_statistics(run))


def _arms(document: Mapping[str, Any]) -> list[str]:
    """The compared arms, in the order of the study."""
    return [arm["arm"] for arm in document["budgets"]["arms"] if arm["sampler"] != "random"]


def _print(run: RunFolder, shown: _Shown, console: Console) -> None:
    console.print(render_front(shown.info, comparable=shown.document["budgets"]["search_equal"]))
    console.print()
    robustness = collect_robustness(shown.trials, arms=_arms(shown.document))
    if robustness:
        console.print(render_robustness(robustness))
        console.print()
    if fits(console) and (picture := render_scatter(shown.info, shown.document, width=min(console.width, 140))) is not None:
        console.print(picture)
        console.print()
    print_summary(console, shown.document, run.place, opened=run.test_opened)
    say(console, f"{count_trials(shown.trials)}, in {short_path(run.place)}")
    if run.page.is_file():
        say(console, f"  page     {run.page.relative_to(run.path)}: open it in a browser")
    say(console, "  tables   tables/*.parquet: trials, epochs, evaluations, reliability")
    say(console, f"  numbers  report/statistics.json; all of them on the screen: {command('report', run.place)}")
    if shown.info.n_points:
        say(console, "  figures  " + "  ".join(name for name in _MADE if "figures" in name))
    if run.labels.is_dir():
        say(console, "  labels   labels/*.parquet: noisy labels, for a condition saved:<file>")
    if run.journal.exists():
        say(console, "  search   optuna.journal (optuna-dashboard opens it)")


def count_trials(trials: pa.Table) -> str:
    """How many trainings of either phase there are, and how they ended."""
    rows = trials.select(["phase", "state", "sampler"]).to_pylist()
    searched = Counter(row["state"] for row in rows if row["phase"] == "search")
    confirmed = Counter(row["state"] for row in rows if row["phase"] == "confirm")
    parts = [f"{searched['complete']} finished trials"]
    parts += [f"{searched[state]} {state}" for state in ("stopped", "failed") if searched[state]]
    if n_random := sum(row["sampler"] == "random" for row in rows):
        parts.append(f"{n_random} of them at random")
    if confirmed:
        parts.append(f"{confirmed['complete']} trainings to confirm")
        parts += [f"{confirmed['failed']} of these failed"] if confirmed["failed"] else []
    return ", ".join(parts)
