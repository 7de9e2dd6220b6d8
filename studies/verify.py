"""Whether the numbers of a run are what they should be: every one that can be computed again is, and the first that differs is named.

Five checks, from the truth to what is told of it:

    files against the provenance            the study and the noisy labels by their fingerprints, and what tables say of their origin
    tables against the ledger               every cell, to the last bit
    tables against each other               columns that follow from the study or from others: to the last bit, or within 1e-9 where they
                                            are computed in another way; finds most edits also where the ledger is lost: verify_derived.py
    tables against stored predictions       metrics, reliability diagrams, temperatures and bootstrap intervals of the confirm phase, from
                                            float16 logits, within 1e-9: another machine may add in another order
    statistics against the tables           every number of the report's statistics.json, within 1e-9
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import fields

import pyarrow as pa
import torch
from rich.console import Console

from bsd_core.errors import DataError, StorageError
from studies.commands import command
from studies.ledger import LedgerReader
from studies.provenance import environment_differences
from studies.results import choices, full_provenance, ledger_tables, run_constants
from studies.run_folder import RunFolder
from studies.screen import say
from studies.spec import StudySpec
from studies.statistics.document import collect_statistics
from studies.statistics.file import read_statistics
from studies.tables import Tables, read_tables
from studies.tally import TOLERANCE, DifferenceError, Tally, check_leaves
from studies.verified import changed_files, digests, write_verified
from studies.verify_derived import check_derived
from studies.verify_files import check_files, table_provenance
from studies.verify_form import KEYS
from studies.verify_predictions import check_predictions

AGREE, DIFFERENT = 0, 1


def verify_run(run: RunFolder, console: Console) -> int:
    """Check a run, print what agrees, a line a check, and keep the result for the report.

    Returns:
        The exit code: 0, or 1 after a line that names the first difference.

    Raises:
        ConfigError, DataError: study.yaml or a table is missing or cannot be read, tables or statistics are of another schema version, or
            files changed while they were checked.
    """
    before = digests(run.path)
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        say(console, line)

    code = _verify(run, console, tell)
    if changed := changed_files(before, digests(run.path)):  # some checks may have seen the old ones and some the new
        names = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        raise DataError(
            f"Files of {run.place} changed while they were checked ({names}), so the result holds neither for the old nor for the new ones."
            " Verify it again when nothing is at work on it."
        )
    with contextlib.suppress(StorageError):  # where nothing can be written, the screen has said it
        write_verified(run.path, before, agree=code == AGREE, lines=lines)
    return code


def _verify(run: RunFolder, console: Console, tell: Callable[[str], None]) -> int:
    spec, tables = run.checked_spec(), read_tables(run)
    checks: list[Callable[[], str]] = [
        lambda: _files(run, spec, tables),
        lambda: _against_ledger(run, tables),
        lambda: _against_each_other(run, spec, tables),
        lambda: _against_predictions(run, spec, tables),
        lambda: _statistics(run, spec, tables),
    ]
    for check in checks:
        try:
            with console.status("computing again") if console.is_terminal else nullcontext():
                agreed = check()
            tell(agreed)
        except DifferenceError as difference:
            tell(f"DIFFERENT  {difference}")
            if changed := environment_differences(run.provenance()):
                tell(f"Versions or machine are not those of the run, which may be why: {', '.join(changed)}.")
            return DIFFERENT
    return AGREE


def _files(run: RunFolder, spec: StudySpec, tables: Tables) -> str:
    tally = Tally()
    check_files(run, spec, tables, tally)
    return f"files against the provenance: {tally}"


def _against_ledger(run: RunFolder, tables: Tables) -> str:
    subject = "tables against the ledger"
    if not run.ledger.exists():
        return f"{subject}: not checked, the run has no ledger.jsonl"
    events = LedgerReader(run.ledger)
    rebuilt = ledger_tables(run, events)
    if rebuilt is None:
        raise DifferenceError("table trials: it has rows, but no trial has ended by the ledger")
    tally, provenance = Tally(), full_provenance(run, choices(run))
    for field in fields(Tables):
        name = field.name
        stored: pa.Table = getattr(tables, name)
        tally.check_table(name, stored, getattr(rebuilt, name), key=KEYS[name])
        check_leaves(f"table {name}, provenance", table_provenance(stored), provenance, tally)
    broken = f"; {events.broken_lines} unreadable lines of the ledger were left out" if events.broken_lines else ""
    return f"{subject}: {tally}{broken}"


def _against_each_other(run: RunFolder, spec: StudySpec, tables: Tables) -> str:
    exact, near = Tally(), Tally(TOLERANCE)
    check_derived(tables, spec, run_constants(run, spec), exact=exact, near=near)
    both = Tally(TOLERANCE, exact.compared + near.compared, exact.identical + near.identical)
    return f"tables against each other: {both}"


def _against_predictions(run: RunFolder, spec: StudySpec, tables: Tables) -> str:
    subject = "tables against stored predictions"
    tally = Tally(TOLERANCE)
    torch.set_num_threads(max(1, int(spec.cpus_per_trial)))  # as trials had, so that sums are added in the same order
    n_trials = check_predictions(run.predictions, tables, tally, confirm=spec.confirm)
    if not n_trials:
        why = "the study keeps none" if spec.confirm is None or spec.confirm.predictions == "none" else "no confirm trial has finished"
        return f"{subject}: not checked, {why}"
    return f"{subject}: {tally} ({n_trials} trials)"


def _statistics(run: RunFolder, spec: StudySpec, tables: Tables) -> str:
    subject = "statistics against the tables"
    if not run.statistics.exists():
        name = run.statistics.relative_to(run.path)
        return f"{subject}: not checked, {name} is not there; {command('report', run.place)} writes it"
    stored, tally = read_statistics(run), Tally(TOLERANCE)
    check_leaves(run.statistics.name, stored, collect_statistics(tables, spec, run.predictions), tally)
    return f"{subject}: {tally}"
