"""The four Arrow tables of a run: schemas, building them from the ledger, writing and reading Parquet.

Schemas are constants: each column with its type, unit and one sentence, kept in the file's metadata with a schema version.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bsd_core.errors import DataError, one_line
from bsd_core.whole_file import write_whole
from studies.commands import command
from studies.ledger import MEASURED, Event, LedgerReader, own_temperature
from studies.ledger_form import ROW_FORMS
from studies.ledger_rows import cells
from studies.pareto import non_dominated
from studies.parquet_file import read_parquet
from studies.robustness import ERROR_COLUMNS, ErrorGrids, add_corruption_errors, error_grids
from studies.run_folder import RunFolder
from studies.schemas import EPOCHS, EVALUATIONS, RELIABILITY, TRIALS
from studies.stack import Stack

__all__ = [
    "EPOCHS",
    "EVALUATIONS",
    "RELIABILITY",
    "SCHEMA_VERSION",
    "TRIALS",
    "Tables",
    "build_tables",
    "built_from",
    "mark_fronts",
    "no_trial_ended",
    "read_table",
    "read_tables",
    "trial_order",
    "write_tables",
]

SCHEMA_VERSION: Final = "3"
_TRIAL_COLUMNS: Final = tuple(TRIALS.names)


@dataclass(frozen=True)
class Tables:
    """The tables of one run."""

    trials: pa.Table
    epochs: pa.Table
    evaluations: pa.Table
    reliability: pa.Table


def build_tables(events: Iterable[Event], constants: Mapping[str, Any]) -> Tables:
    """Tables from a ledger.

    A trial that was interrupted and run again counts once: the last word on an epoch or a trial holds. Events are taken one at a time, and
    what they hold goes from their columns into Arrow's: no row of epochs, evaluations or reliability is ever made.

    Args:
        events: of the ledger, in order.
        constants: `study`, `run_id`, `dataset`, `model`, `validation_labels` and `objectives` (two columns and a comma) of the run.
    """
    suggested: dict[str, Event] = {}
    ended: dict[str, Event] = {}
    errors: dict[str, ErrorGrids] = {}
    chosen: dict[str, list[str]] = {}
    epochs, evaluations, reliability = (Stack(schema) for schema in (EPOCHS, EVALUATIONS, RELIABILITY))
    for event in events:
        match event["event"]:
            case "suggest":
                suggested[event["trial_id"]] = event
            case "epochs":
                epochs.add(event["trial_id"], event["rows"])
            case "end":
                trial_id = event["trial_id"]
                ended[trial_id] = {name: value for name, value in event.items() if name not in ROW_FORMS}
                ended[trial_id]["temperature"] = own_temperature(event)
                errors[trial_id] = error_grids(cells(event["evaluations"], *ERROR_COLUMNS))
                evaluations.add(trial_id, event["evaluations"])
                reliability.add(trial_id, event["reliability"])
            case "confirm":
                chosen = chosen or event["chosen"]
    rows = [_trial_row(suggested[trial_id], end, constants) for trial_id, end in ended.items() if trial_id in suggested]
    for row in rows:
        row["chosen_as"] = ", ".join(chosen[row["trial_id"]]) if row["trial_id"] in chosen else None
    rows.sort(key=trial_order)
    add_corruption_errors(rows, errors)
    mark_fronts(rows, *constants["objectives"].split(", "))
    phases = {row["trial_id"]: row["phase"] for row in rows}
    return Tables(
        trials=_trials_table(rows),
        epochs=epochs.last_by("epoch", of=ended),
        evaluations=evaluations.last_of(phases),
        reliability=reliability.last_of(phases),
    )


def _trials_table(rows: Sequence[Event]) -> pa.Table:
    names = list(dict.fromkeys(key for row in rows for key in row if key.startswith("param_")))  # in their spaces' order
    texts = {key for row in rows for key, value in row.items() if key.startswith("param_") and isinstance(value, str)}
    meaning = {"description": "hyperparameter; null where the method has none"}
    settings = [pa.field(name, pa.string() if name in texts else pa.float64(), metadata=meaning) for name in names]
    for row in rows:
        row |= {name: str(row[name]) for name in texts & row.keys()}
    return pa.Table.from_pylist(rows, pa.schema([*TRIALS, *settings]))


def trial_order(row: Mapping[str, Any]) -> tuple[bool, int, str]:
    """How the rows of table `trials` are sorted, and so the trials of `evaluations` and `reliability`."""
    return row["phase"] == "confirm", row["trial_number"], row["arm"]


def _trial_row(suggest: Event, end: Event, constants: Mapping[str, Any]) -> Event:
    own = ("phase", "arm", "method", "condition", "noise_kind", "trial_id", "trial_number", "seed")
    row = {**constants, **{name: suggest[name] for name in own}, **end["metrics"]}
    row |= {name: suggest.get(name) for name in ("confirms", "replicate", "noise_seed")}
    row |= {"sampler": suggest.get("sampler", "tpe"), "audited": False}
    row |= {name: end[name] for name in _TRIAL_COLUMNS if name in end}
    row["noise_rate"] = suggest["noise_rate"] if suggest["noise_rate"] is not None else end.get("wrong_label_share")
    return row | {f"param_{name}": value for name, value in suggest["params"].items()}


def mark_fronts(rows: list[Event], accuracy_column: str, ece_column: str) -> list[Event]:
    """Set `on_front` of all rows of table `trials`, in place, by these two columns; the rows.

    Only complete trials of phase search can be on a front, each on that of its arm.
    """
    for row in rows:
        row["on_front"] = False
    searched = [row for row in rows if row["phase"] == "search" and row["state"] == "complete"]
    for arm in {row["arm"] for row in searched}:
        members = [row for row in searched if row["arm"] == arm]
        accuracy = np.array([row.get(accuracy_column, np.nan) for row in members], dtype=np.float64)
        ece = np.array([row.get(ece_column, np.nan) for row in members], dtype=np.float64)
        for row, best in zip(members, non_dominated(accuracy, ece), strict=True):
            row["on_front"] = bool(best)
    return rows


def write_tables(run: RunFolder, tables: Tables, metadata: Mapping[str, str]) -> None:
    """Write tables/<name>.parquet, each atomically, with `metadata` and the schema version in the file."""
    for field in fields(tables):
        table: pa.Table = getattr(tables, field.name)
        table = table.replace_schema_metadata({"schema_version": SCHEMA_VERSION, **metadata})
        write_whole(run.tables / f"{field.name}.parquet", partial(pq.write_table, table, compression="zstd"))


def read_tables(run: RunFolder) -> Tables:
    """The tables of a run, from Parquet.

    Raises:
        DataError: a table is missing, broken, or of another schema version; or no trial has ended, so that there can be none.
    """
    if not any(run.tables.glob("*.parquet")) and not _any_ended(run):
        raise no_trial_ended(run)
    return Tables(**{field.name: read_table(run, field.name) for field in fields(Tables)})


def read_table(run: RunFolder, name: str) -> pa.Table:
    """One of them.

    Raises:
        DataError: it is missing, broken, or of another schema version.
    """
    path = run.tables / f"{name}.parquet"
    if not path.is_file():
        raise DataError(f"No table {str(path)!r}: tables are written when a run ends. Build them with: {command('front', run.place)}")
    try:
        table = read_parquet(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable table ({one_line(error, limit=100)}).") from error
    version = (table.schema.metadata or {}).get(b"schema_version", b"none").decode(errors="replace")
    if version != SCHEMA_VERSION:
        writer = _writer(table.schema.metadata or {})
        raise DataError(
            f"{path}: schema version {version:.20}{writer}, but this program reads version {SCHEMA_VERSION}. Build the tables again from "
            f"the run's ledger with: {command('front', run.place)}"
        )
    return table


def built_from(run: RunFolder) -> set[bytes | None]:
    """How many bytes of the ledger the four tables say they were built from; None of one that is missing or does not say."""
    found: set[bytes | None] = set()
    for field in fields(Tables):
        try:
            found.add((pq.read_schema(run.tables / f"{field.name}.parquet").metadata or {}).get(b"ledger_bytes"))
        except (pa.ArrowException, OSError):
            found.add(None)
    return found


def _any_ended(run: RunFolder) -> bool:
    return any(event["event"] == "end" for event in LedgerReader(run.ledger, without=MEASURED))


class NothingEndedError(DataError):
    """No trial of a run has ended, so that it can have no tables."""


def no_trial_ended(run: RunFolder) -> NothingEndedError:
    """What to say of a run that has nothing to show yet."""
    return NothingEndedError(f"No trial of {run.place} has ended; finish the run: {command('resume', run.place)}")


def _writer(metadata: Mapping[bytes, bytes]) -> str:
    """Which version of this program wrote a table, where it says so."""
    try:
        return f" (written by bsd-study {json.loads(metadata[b'provenance'])['packages']['bsd-study']})"
    except (KeyError, TypeError, ValueError, RecursionError):
        return ""
