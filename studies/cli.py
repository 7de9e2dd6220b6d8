"""`python -m studies`: the commands, from the list of studies to reports, and how they end.

Exit codes: 0 done, 1 the run failed (or its numbers differ, or a watched one is unfinished), 2 the input is wrong, 130 interrupted and 143
terminated (both resumable).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from bsd_core.errors import BSDError, ConfigError, StorageError, printable, shown
from studies.commands import command
from studies.screen import our_console, say, short_path

if TYPE_CHECKING:
    from studies.run_folder import RunFolder

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Which self-distillation method to trust: accuracy and calibration under label noise and corruption.",
)
Results = Annotated[str, typer.Option("--results", help="The results root: a folder, or s3://bucket/folder.")]
Name = Annotated[str, typer.Argument(help="A shipped study, or the path of a YAML file.")]
Run = Annotated[str, typer.Argument(help="A study (its newest run), a run's id, or the path or URI of a run folder.")]
DataDir = Annotated[str, typer.Option("--data-dir", help="Where data sets lie.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value ..., e.g. trials=32 evaluate.severities=3,5", show_default=False)]


@app.command("list")
def list_studies() -> None:
    """List the shipped studies and what they ask."""
    from studies.study_file import study_names
    from studies.yaml_strict import parse_yaml

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("study", no_wrap=True)
    table.add_column("question", overflow="fold")
    for name, path in study_names().items():
        document = parse_yaml(path.read_text(encoding="utf-8"), where=str(path))
        table.add_row(Text(name), Text(str(document.get("question", ""))))
    our_console().print(table)


@app.command()
def fields() -> None:
    """List every field of a study file, with its meaning."""
    from studies.study_file import field_documentation

    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("field", "default", "meaning"):
        table.add_column(title, no_wrap=title != "meaning", overflow="fold")
    for name, default, meaning in field_documentation():
        table.add_row(Text(name), Text(default), Text(meaning))
    our_console().print(table)


@app.command()
def columns() -> None:
    """List every column of the result tables, with its meaning, as Markdown."""
    from studies.columns import columns_page

    print(columns_page(), end="")


@app.command()
def describe(name: Name, overrides: Overrides = None) -> None:
    """Say what a study will do before it does it."""
    from studies.describe import describe as describe_study
    from studies.study_file import find_study, load_spec

    study, path = find_study(name)
    our_console().print(describe_study(study, load_spec(path, overrides or [])))


@app.command()
def run(name: Name, overrides: Overrides = None, results: Results = "results") -> None:
    """Run a study and print its front."""
    from studies.study_file import find_study, load_spec

    study, path = find_study(name)
    spec = load_spec(path, overrides or [])
    from studies.run import run_study
    from studies.run_names import results_root

    _exit_with(lambda: run_study(study, spec, results_root(results)))


@app.command()
def resume(name: Run, results: Results = "results") -> None:
    """Finish a run that was interrupted."""
    from studies.run import resume_study
    from studies.run_names import find_run, results_root

    _exit_with(lambda: resume_study(find_run(results_root(results), name)))


@app.command()
def front(name: Run, results: Results = "results") -> None:
    """Print and draw the front of a study's newest run; works while it runs, too."""
    from studies.run_names import find_run, results_root
    from studies.shown import show_front, show_unchanged_front

    run = find_run(results_root(results), name)
    if show_unchanged_front(run, our_console()):
        return
    from studies.ledger import LedgerReader
    from studies.results import ledger_tables, write_results  # which need SciPy
    from studies.tables import no_trial_ended

    unwritten: StorageError | None = None
    try:
        tables = write_results(run)
    except StorageError as error:
        unwritten, tables = error, ledger_tables(run, LedgerReader(run.ledger))
    if tables is None:
        raise no_trial_ended(run)
    try:
        show_front(run, tables, our_console())
    except StorageError as error:
        unwritten = unwritten or error
    if unwritten is not None:
        print(f"error: Shown, but not kept: {unwritten}", file=sys.stderr)
        raise typer.Exit(1)
    _share(run)


@app.command()
def report(name: Run, results: Results = "results") -> None:
    """Print everything that the tables of a study's newest run say, and write it as a page and to report/statistics.json."""
    from studies.report.make import make_report, write_empty_page
    from studies.report.terminal import print_report
    from studies.run_names import find_run, results_root
    from studies.tables import NothingEndedError

    run = find_run(results_root(results), name)
    try:
        _, document, page = make_report(run)
    except NothingEndedError:
        write_empty_page(run)
        raise
    print_report(our_console(), document, run.place, opened=run.test_opened)
    say(our_console(), f"  page     {short_path(page)}: open it in a browser")
    _share(run)


@app.command()
def figures(name: Run, results: Results = "results") -> None:
    """Write figures and tables for a paper, of a study's newest run: PNG, SVG, PDF, LaTeX and Markdown, with captions."""
    from studies.report.paper import summary, write_paper
    from studies.report.write import report_source
    from studies.run_names import find_run, results_root
    from studies.statistics.document import collect_statistics
    from studies.tables import read_tables
    from studies.verify_form import require_form

    run = find_run(results_root(results), name)
    tables = read_tables(run)
    require_form(run, tables)
    written = write_paper(report_source(run, tables, collect_statistics(tables, run.spec(), run.predictions)), run.page.parent)
    say(our_console(), f"For a paper, in {short_path(run.place)}:")
    for line in summary(written):
        say(our_console(), line)
    _share(run)
    if written.broken:
        raise typer.Exit(1)


@app.command()
def export(
    name: Run,
    to: Annotated[str, typer.Option("--to", help="csv, a folder of files; or duckdb, one database file.")],
    out: Annotated[str, typer.Option(help="The folder or file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace what an earlier export left there.")] = False,
    results: Results = "results",
) -> None:
    """Write the tables of a study's newest run for other programs; they lie in tables/*.parquet, too.

    Texts are written as they are: a spreadsheet may take one that begins with = + - or @ for a formula.
    """
    from studies.export import export_tables
    from studies.run_names import find_run, results_root
    from studies.tables import read_tables
    from studies.verify_form import require_form

    run = find_run(results_root(results), name)
    tables = read_tables(run)
    require_form(run, tables)
    path = export_tables(run, tables, to, out, force=force)
    say(our_console(), f"written: {short_path(path)}")


@app.command()
def dashboard(
    name: Run,
    port: Annotated[int, typer.Option(min=1, max=65535, help="To listen on, or one of the next if it is taken.")] = 8080,
    results: Results = "results",
) -> None:
    """Serve optuna-dashboard on the searches of a study's newest run, for this machine alone; Ctrl-C ends it."""
    from studies.dashboard import serve
    from studies.run_names import find_run, results_root

    run = find_run(results_root(results), name)
    try:
        serve(run, our_console(), port=port)
    except KeyboardInterrupt:
        print("The dashboard has ended; the run is as it was.", file=sys.stderr)
        raise typer.Exit(0) from None


@app.command()
def verify(name: Run, results: Results = "results") -> None:
    """Compute every number of a run again, as far as its files allow; exit code 1 and the first number that differs."""
    from studies.report.make import refresh_page
    from studies.run_names import find_run, results_root
    from studies.verify import verify_run

    run = find_run(results_root(results), name)
    code = verify_run(run, our_console())
    refresh_page(run)
    _share(run)
    raise typer.Exit(code)


@app.command()
def retrain(
    name: Run,
    trial: Annotated[str, typer.Argument(help="A trial_id of table trials, or an operating point, e.g. knee.")],
    save: Annotated[str | None, typer.Option(help="Write the trained weights to this file.", show_default=False)] = None,
    results: Results = "results",
) -> None:
    """Train one trial again, outside Ray, and compare every number with those recorded; exit code 1 if one differs."""
    from studies.retrain import retrain as train_again
    from studies.run_names import find_run, results_root

    file = None if save is None else Path(save).expanduser().absolute()
    _exit_with(lambda: train_again(find_run(results_root(results), name), trial, our_console(), save=file))


@app.command("compare-corruptions")
def compare_corruptions(
    dataset: Annotated[
        str, typer.Option(help="cifar10, cifar100, or another source of their test images in the original order.")
    ] = "cifar10",
    data_dir: DataDir = "data",
    folder: Annotated[str | None, typer.Option(help="The released files.", show_default="<data-dir>/CIFAR-10-C or CIFAR-100-C")] = None,
    images: Annotated[int | None, typer.Option(help="How many test images, evenly spaced.", show_default="all")] = None,
    seed: Annotated[int, typer.Option(help="Of our random numbers.")] = 0,
    names: Annotated[str, typer.Option(help="Corruptions, separated by commas.", show_default="all")] = "",
    out: Annotated[str | None, typer.Option(help="A .csv or .parquet file to write, too.", show_default=False)] = None,
) -> None:
    """Compare our corruptions with the released CIFAR-10-C or CIFAR-100-C."""
    from studies.compare_corruptions import compare_corruptions as compare

    chosen = [name.strip() for name in names.split(",") if name.strip()]
    compare(our_console(), dataset=dataset, data_dir=data_dir, folder=folder, n_images=images, seed=seed, names=chosen, out=out)


@app.command()
def gallery(
    out: Annotated[str, typer.Option(help="A .png, .svg or .pdf file to write.")],
    dataset: Annotated[str, typer.Option(help="Any data set that a study can use.")] = "digits",
    data_dir: DataDir = "data",
    index: Annotated[int, typer.Option(help="Row of the training set.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the corruptions.")] = 0,
    severities: Annotated[str, typer.Option(help="Separated by commas.")] = "1,2,3,4,5",
) -> None:
    """Draw one training image under every corruption and perturbation."""
    from studies.gallery import gallery as draw

    try:
        chosen = [int(severity) for severity in severities.split(",")]
    except ValueError:
        raise ConfigError(f"--severities takes numbers from 1 to 5 separated by commas, but got {shown(severities)}.") from None
    draw(our_console(), dataset=dataset, out=out, data_dir=data_dir, index=index, seed=seed, severities=chosen)


@app.command()
def status(results: Results = "results") -> None:
    """List all runs, newest first: how far each is, and whether a process is at work on it."""
    from studies.report.status import render_status
    from studies.run_names import results_root
    from studies.status import collect_status

    place = results_root(results)
    runs = collect_status(place)
    if not runs:
        there = not isinstance(place, Path) or place.is_dir()
        none = f"There are no runs in {short_path(place)} yet" if there else f"There is no folder {short_path(place)} yet"
        say(our_console(), f"{none}; start a study with: make study STUDY=label_noise")
        return
    our_console().print(render_status(runs, results=place))


@app.command()
def watch(name: Run, results: Results = "results") -> None:
    """Follow a run that another process is at work on; Ctrl-C ends watching, not the run."""
    from studies.interrupts import INTERRUPTED, TERMINATED, termination_as_interrupt
    from studies.run_names import find_run, results_root
    from studies.watch import watch_run

    run = find_run(results_root(results), name)
    words = "No longer watched; the run goes on."
    with termination_as_interrupt(lambda: words) as termination:  # SIGTERM would leave a terminal without its cursor
        try:
            code = watch_run(run, our_console())
        except KeyboardInterrupt:
            print(words, file=sys.stderr)
            code = TERMINATED if termination.came else INTERRUPTED
    raise typer.Exit(code)


@app.command()
def compare(
    run_a: Annotated[str, typer.Argument(help="A study (its newest run), a run's id, or the path or URI of a run folder.")],
    run_b: Annotated[str, typer.Argument(help="The run that it is compared with.")],
    results: Results = "results",
) -> None:
    """Set two runs side by side: what differs in their studies, and how the arms that both have did."""
    from studies.compare_runs import compare_runs
    from studies.report.compare_runs import render_run_comparison
    from studies.run_names import find_run, results_root

    place = results_root(results)
    our_console().print(render_run_comparison(compare_runs(find_run(place, run_a), find_run(place, run_b))))


def _exit_with(work: Callable[[], int]) -> None:
    """Leave with the code that `work` gives; an interrupt outside the search is said, too."""
    try:
        code = work()
    except KeyboardInterrupt:
        print("Interrupted; finished trials, if there were any, are kept.", file=sys.stderr)
        code = 130
    raise typer.Exit(code)


def _share(run: RunFolder) -> None:
    """Send what a command has made of a run to where its results are, unless that would disturb anyone."""
    if (reason := run.share()) is not None:
        say(our_console(), f"Not sent to {run.place}: {reason}. The files are in {run.path}.")


def main() -> None:
    """Run the command line; bad input is one line on standard error and exit code 2."""
    try:
        code = app(standalone_mode=False, prog_name=command())
    except BSDError as error:
        code = _refuse(str(error))
    except typer.TyperException as error:  # of the command line itself
        place = getattr(getattr(error, "ctx", None), "command_path", command())
        problem = error.format_message()
        code = _refuse(f"{problem.rstrip('.')}; see {place} --help") if sys.argv[1:] else _show_help(problem)
    except (KeyboardInterrupt, typer.Abort):  # before any work was begun, as while libraries are loaded
        print("Interrupted.", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # who reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 1
    sys.exit(code)


def _refuse(problem: str) -> int:
    print(f"error: {printable(problem)}", file=sys.stderr)
    return 2


def _show_help(text: str) -> int:
    print(text, file=sys.stderr)
    return 2
