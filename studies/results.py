"""What a run's ledger says, as tables, and what these tables carry with them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from studies.ledger import Event, LedgerReader
from studies.run_folder import RunFolder, write_atomically
from studies.spec import StudySpec
from studies.tables import Tables, build_tables, write_tables
from studies.verify_form import require_own_trials

if TYPE_CHECKING:
    from studies.search import StudySearch


def original_run_id(run: RunFolder) -> str:
    """The run's id as it began, whatever its folder is called by now."""
    return str(run.provenance().get("run_id", run.run_id))


def run_constants(run: RunFolder, spec: StudySpec) -> dict[str, str]:
    """Columns of table `trials` that are the same in all rows of a run."""
    return {
        "study": run.study,
        "run_id": original_run_id(run),
        "dataset": spec.dataset,
        "model": spec.model,
        "validation_labels": spec.validation_labels,
        "objectives": ", ".join(spec.targets),
    }


def ledger_tables(run: RunFolder, events: Iterable[Event]) -> Tables | None:
    """The tables of a run from the events of its ledger, which are taken one at a time; None while no trial has ended.

    Raises:
        ConfigError: the run's study.yaml is missing or broken.
    """
    tables = build_tables(events, run_constants(run, run.spec()))
    return tables if len(tables.trials) else None


def full_provenance(run: RunFolder, events: Iterable[Event]) -> dict[str, Any]:
    """The run's provenance and, once its test split was opened, `test`: when that was (UTC), and the fingerprint of its images."""
    opened = next((event for event in events if event["event"] == "confirm"), None)
    test = None if opened is None else {"opened": opened["opened"], "fingerprint": opened["test_fingerprint"]}
    return run.provenance() | ({} if test is None else {"test": test})


def choices(run: RunFolder) -> LedgerReader:
    """What the ledger says of the choice that opened the test split; all else is left out, and mostly not even parsed."""
    return LedgerReader(run.ledger, without=("suggest", "epochs", "end", "note"))


def table_metadata(run: RunFolder, provenance: dict[str, Any], *, ledger_bytes: int) -> dict[str, str]:
    """What stands in the file of every table, besides the schema version; `ledger_bytes`: how much of the ledger they were built from."""
    described = {"study": run.study, "run_id": original_run_id(run), "provenance": json.dumps(provenance)}
    return described | {"ledger_bytes": str(ledger_bytes)}


def write_results(run: RunFolder, search: StudySearch | None = None) -> Tables | None:
    """Build tables (and, with `search`, the Optuna export) from the ledger; None while no trial has ended.

    Raises:
        ConfigError: the run's study.yaml is missing or broken.
        DataError: the ledger has trials that the study cannot have; nothing is written.
        StorageError: they cannot be written.
    """
    events = LedgerReader(run.ledger)
    tables = ledger_tables(run, events)
    if tables is None:
        return None
    require_own_trials(run, tables.trials)
    before, provenance = run.provenance(), full_provenance(run, choices(run))
    if before and before != provenance:
        write_atomically(run.path / "provenance.json", json.dumps(provenance, indent=2).encode())
    write_tables(run, tables, table_metadata(run, provenance, ledger_bytes=events.n_bytes))
    with contextlib.suppress(OSError):
        run.statistics.unlink(missing_ok=True)  # of earlier tables
    if search is not None:
        from studies.search import export_journal

        export_journal(search, run.journal)
    return tables
