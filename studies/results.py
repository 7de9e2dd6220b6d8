"""What a run's ledger says, as tables, and what these tables carry with them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from studies.ledger import Event
from studies.run_folder import RunFolder
from studies.spec import StudySpec
from studies.tables import Tables, build_tables


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
    """The tables of a run from the events of its ledger; None while no trial has ended.

    Raises:
        ConfigError: the run's study.yaml is missing or broken.
    """
    events = list(events)
    if not any(event["event"] == "end" for event in events):
        return None
    return build_tables(events, run_constants(run, run.spec()))


def full_provenance(run: RunFolder, events: Iterable[Event]) -> dict[str, Any]:
    """The run's provenance and, once its test split was opened, `test`: when that was (UTC), and the fingerprint of its images."""
    opened = [event for event in events if event["event"] == "confirm"]
    test = {"opened": opened[0]["opened"], "fingerprint": opened[0]["test_fingerprint"]} if opened else None
    return run.provenance() | ({} if test is None else {"test": test})


def table_metadata(run: RunFolder, provenance: dict[str, Any]) -> dict[str, str]:
    """What stands in the file of every table, besides the schema version."""
    return {"study": run.study, "run_id": original_run_id(run), "provenance": json.dumps(provenance)}
