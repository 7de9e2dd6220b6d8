"""The files of a run that are no tables, against what its provenance says of them: the study, the noisy labels."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bsd_core.errors import DataError, one_line
from studies.parquet_file import read_parquet
from studies.provenance import study_hash
from studies.run_folder import RunFolder, typed_provenance
from studies.spec import StudySpec
from studies.tables import Tables
from studies.tally import DifferenceError, Tally, check_leaves
from studies.trial_data import fingerprint
from studies.verify_trials import most


def check_files(run: RunFolder, spec: StudySpec, tables: Tables, tally: Tally) -> None:
    """Compare the provenance in every table with that of the run, and study.yaml and labels/*.parquet with their fingerprints in it.

    A run without provenance.json is judged by what its tables carry; a fingerprint that is not there, or a folder of labels, is not asked
    for.

    Args:
        run: the run.
        spec: its study.
        tables: of the run.
        tally: counts.

    Raises:
        DifferenceError: at the first that is not what it should be.
        DataError: a file of labels cannot be read.
    """
    stored = (run.path / "provenance.json").exists()
    made = run.provenance() if stored else typed_provenance(table_provenance(tables.trials))
    for name, table in vars(tables).items():
        check_leaves(f"table {name}, provenance", table_provenance(table), made, tally)
    if (hash_ := made.get("study_hash")) is not None:
        if study_hash(run.document()) != hash_:
            raise DifferenceError("study.yaml: it is not the study that this run began with, by the hash of it in the provenance")
        tally.add(1)
    if run.labels.is_dir():
        _check_labels(run, spec, tables, made.get("data", {}).get("noise_fingerprints"), tally)


def table_provenance(table: pa.Table) -> dict[str, Any]:
    """What a table's file says of its run; empty where it says nothing that can be read."""
    try:
        found = json.loads((table.schema.metadata or {}).get(b"provenance", b"{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _check_labels(run: RunFolder, spec: StudySpec, tables: Tables, fingerprints: Any, tally: Tally) -> None:
    """Given labels by their fingerprint, true ones by how many given ones are wrong."""
    searched = [row for row in tables.trials.to_pylist() if row.get("phase") == "search"]
    noisy = {condition.name for condition in spec.conditions if condition.kind != "none"}
    for path in sorted(run.labels.glob("*.parquet")):
        if path.stem not in noisy:
            raise DifferenceError(f"labels, {path.name}: no condition of the study has such a file")
    for condition in sorted(noisy):
        path = run.labels / f"{condition}.parquet"
        if not path.is_file():
            raise DifferenceError(f"labels, {path.name}: missing, but the study has condition {condition}")
        try:
            labels = read_parquet(path, ["split", "true_label", "given_label"])
            train, val = (labels.filter(pc.equal(labels["split"], split)) for split in ("train", "val"))
            given = fingerprint(*(part["given_label"].to_numpy() for part in (train, val)))
            n_wrong = pc.sum(pc.not_equal(train["true_label"], train["given_label"])).as_py()
        except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
            raise DataError(f"{path}: not a file of labels ({one_line(error, limit=100)}).") from error
        if isinstance(fingerprints, dict) and condition in fingerprints:
            tally.check(given, fingerprints[condition], f"labels, {path.name}, fingerprint of the given labels")
        counts = [row.get("n_wrong_labels") for row in searched if row.get("condition") == condition]
        if known := [count for count in counts if count is not None]:
            tally.check(n_wrong, most(known), f"labels, {path.name}, wrong labels of training images")
