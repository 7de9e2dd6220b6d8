from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bsd_core.errors import DataError
from studies import stack
from studies.ledger import Event, LedgerReader, as_line, parse_lines
from studies.ledger_rows import Rows
from studies.results import write_results
from studies.run_folder import RunFolder
from studies.tables import EPOCHS, EVALUATIONS, RELIABILITY, SCHEMA_VERSION, TRIALS, Tables, build_tables, read_tables, write_tables
from tests.studies._dummies import (
    CONSTANTS,
    make_end,
    make_epoch,
    make_epochs,
    make_events,
    make_run,
    make_suggest,
    make_tables,
    write_ledger,
)
from tests.studies._played_runs import play_run

# Columns that others rely on, with their types: names as promised, one word a column.
TEXT, WHOLE, NUMBER, TRUTH = pa.string(), pa.int64(), pa.float64(), pa.bool_()
PROMISED: dict[str, dict[pa.DataType, str]] = {
    "trials": {
        TEXT: "study run_id phase arm method condition noise_kind dataset model trial_id state node device error",
        WHOLE: "trial_number seed epochs images_seen n_parameters",
        NUMBER: "noise_rate val_accuracy val_ece val_nll val_brier test_accuracy test_ece train_seconds images_per_second",
        TRUTH: "on_front",
    },
    "epochs": {
        TEXT: "trial_id",
        WHOLE: "epoch",
        NUMBER: "train_loss train_accuracy val_accuracy val_ece val_nll learning_rate label_recovery memorised seconds",
    },
    "evaluations": {
        TEXT: "trial_id phase split shift name",
        WHOLE: "severity n",
        NUMBER: "accuracy ece adaptive_ece classwise_ece nll brier aurc ece_temperature_scaled temperature flip_probability",
    },
    "reliability": {TEXT: "trial_id phase split shift name", WHOLE: "severity bin count", NUMBER: "mean_confidence accuracy"},
}


def rows_of(table: pa.Table) -> dict[str, dict[str, Any]]:
    """Rows by trial id."""
    rows = table.to_pylist()
    assert len({row["trial_id"] for row in rows}) == len(rows)
    return {row["trial_id"]: row for row in rows}


@pytest.mark.parametrize("name", list(PROMISED))
def test_promised_columns_are_there_with_their_types(name: str) -> None:
    table: pa.Table = getattr(make_tables(("bsd/none", 0, 0.9, 0.1)), name)
    promised = {column: kind for kind, columns in PROMISED[name].items() for column in columns.split()}
    assert {column: table.schema.field(column).type for column in promised} == promised


@pytest.mark.parametrize("schema", [TRIALS, EPOCHS, EVALUATIONS, RELIABILITY], ids=["trials", "epochs", "evaluations", "reliability"])
def test_every_column_says_what_it_means(schema: pa.Schema) -> None:
    bare = [field.name for field in schema if not (field.metadata or {}).get(b"description", b"").strip()]
    assert bare == []


def test_a_trials_row_is_what_the_ledger_says() -> None:
    events = [
        make_suggest("bsd/symmetric_40", 3, params={"learning_rate": 0.1, "discount": 0.9}, seed=2**63 - 1),
        make_end("bsd/symmetric_40", 3, 0.8, 0.05, val_corrupted_accuracy=0.6),
    ]
    (row,) = build_tables(events, CONSTANTS).trials.to_pylist()
    expected = {
        **CONSTANTS,
        "phase": "search",
        "arm": "bsd/symmetric_40",
        "method": "bsd",
        "condition": "symmetric_40",
        "noise_kind": "symmetric",
        "noise_rate": 0.4,
        "trial_id": "bsd-symmetric_40-0003",
        "trial_number": 3,
        "seed": 2**63 - 1,
        "state": "complete",
        "val_accuracy": 0.8,
        "val_ece": 0.05,
        "val_accuracy_clean_labels": 0.8,
        "val_accuracy_noisy_labels": 0.4,
        "val_corrupted_accuracy": 0.6,
        "val_corrupted_ece": None,
        "on_front": True,
        "train_seconds": 1.5,
        "images_seen": 200,
        "error": None,
        "param_learning_rate": 0.1,
        "param_discount": 0.9,
    }
    assert {name: row[name] for name in expected} == expected


def test_the_search_phase_has_no_test_metrics() -> None:
    trials = make_tables(("bsd/none", 0, 0.9, 0.1), ("bsd/none", 1, None, 0.0)).trials
    assert trials["test_accuracy"].null_count == trials["test_ece"].null_count == 2


def test_a_failed_trial_has_null_metrics_and_its_reason() -> None:
    row = rows_of(make_tables(("bsd/none", 0, None, 0.0), ("bsd/none", 1, 0.5, 0.1)).trials)["bsd-none-0000"]
    assert (row["state"], row["error"], row["on_front"]) == ("failed", "diverged: loss nan", False)
    assert [name for name, value in row.items() if name.startswith("val_") and value is not None] == []
    assert (row["param_learning_rate"], row["device"], row["epochs"]) == (0.1, "cpu", 2)


def test_a_trial_whose_process_died_has_a_row_with_nulls() -> None:
    """The driver writes such an end itself and knows nothing of node, device or speed."""
    end = {"event": "end", "trial_id": "bsd-none-0000", "state": "failed", "epochs": 0, "train_seconds": 0.0, "error": "died"}
    events = [make_suggest("bsd/none", 0), end | {"metrics": {}, "evaluations": [], "reliability": []}]
    (row,) = build_tables(events, CONSTANTS).trials.to_pylist()
    assert (row["node"], row["images_seen"], row["error"]) == (None, None, "died")


def test_parameters_are_null_where_a_method_has_none() -> None:
    events = [
        make_suggest("bsd/none", 0, params={"learning_rate": 0.1, "discount": 0.9}),
        make_end("bsd/none", 0, 0.9),
        make_suggest("cs_kd/none", 0, params={"learning_rate": 0.2, "distill_weight": 1.0}),
        make_end("cs_kd/none", 0, 0.8),
    ]
    trials = build_tables(events, CONSTANTS).trials
    assert {name for name in trials.column_names if name.startswith("param_")} == {
        "param_discount",
        "param_distill_weight",
        "param_learning_rate",
    }
    rows = rows_of(trials)
    assert (rows["bsd-none-0000"]["param_discount"], rows["bsd-none-0000"]["param_distill_weight"]) == (0.9, None)
    assert (rows["cs_kd-none-0000"]["param_discount"], rows["cs_kd-none-0000"]["param_distill_weight"]) == (None, 1.0)
    assert trials.schema.field("param_discount").type == NUMBER


def test_a_trial_that_was_run_again_counts_once_with_its_last_word() -> None:
    arm = "bsd/none"
    events = [
        make_suggest(arm, 0),
        make_epochs(arm, 0, make_epoch(1, train_loss=9.0)),
        make_suggest(arm, 0),  # the driver died; the same trial again
        make_epochs(arm, 0, make_epoch(1, train_loss=2.0)),
        make_epochs(arm, 0, make_epoch(2, train_loss=1.0)),
        make_end(arm, 0, 0.9),
        make_end(arm, 0, 0.9),
    ]
    tables = build_tables(events, CONSTANTS)
    assert len(tables.trials) == 1
    assert [(row["epoch"], row["train_loss"]) for row in tables.epochs.to_pylist()] == [(1, 2.0), (2, 1.0)]
    assert (len(tables.evaluations), len(tables.reliability)) == (1, 2)


def test_a_trial_that_has_not_ended_has_no_row_anywhere() -> None:
    events = [*make_events(("bsd/none", 0, 0.9, 0.1)), make_suggest("bsd/none", 1), make_epochs("bsd/none", 1, make_epoch(1))]
    tables = build_tables(events, CONSTANTS)
    assert tables.trials["trial_id"].to_pylist() == ["bsd-none-0000"]
    assert tables.epochs["trial_id"].to_pylist() == ["bsd-none-0000", "bsd-none-0000"]


def test_an_end_without_a_beginning_is_left_out() -> None:
    assert len(build_tables([make_end("bsd/none", 0, 0.9), *make_events(("bsd/none", 1, 0.5, 0.1))], CONSTANTS).trials) == 1


def test_an_empty_ledger_gives_empty_tables_with_all_columns() -> None:
    tables = build_tables([], CONSTANTS)
    assert [len(getattr(tables, name)) for name in PROMISED] == [0, 0, 0, 0]
    assert tables.trials.column_names == TRIALS.names


def test_fronts_are_taken_within_each_arm() -> None:
    #                       number accuracy ece
    tables = make_tables(
        ("bsd/none", 0, 0.90, 0.30),  # most accurate
        ("bsd/none", 1, 0.80, 0.10),  # a trade
        ("bsd/none", 2, 0.80, 0.20),  # beaten by 1
        ("bsd/none", 3, None, 0.0),  # failed
        ("bsd/none", 4, 0.80, 0.10),  # equal to 1: both stay
        ("cs_kd/none", 0, 0.10, 0.90),  # the worst of all, but alone in its arm
        ("bsd/symmetric_40", 0, 0.20, 0.50),  # another condition is another arm
    )
    rows = rows_of(tables.trials)
    on_front = {name for name, row in rows.items() if row["on_front"]}
    assert on_front == {"bsd-none-0000", "bsd-none-0001", "bsd-none-0004", "cs_kd-none-0000", "bsd-symmetric_40-0000"}


def test_a_front_is_of_finished_search_trials_alone() -> None:
    events = [
        make_suggest("bsd/none", 0),
        make_end("bsd/none", 0, 0.5, 0.5),
        {**make_suggest("bsd/none", 1), "phase": "confirm"},
        make_end("bsd/none", 1, 0.9, 0.1),
        make_suggest("bsd/none", 2),
        {**make_end("bsd/none", 2, 0.9, 0.1), "state": "stopped"},
    ]
    tables = build_tables(events, CONSTANTS)
    assert {row["trial_id"]: row["phase"] for row in tables.evaluations.to_pylist()} == {
        "bsd-none-0000": "search",
        "bsd-none-0001": "confirm",
        "bsd-none-0002": "search",
    }
    front = dict(zip(tables.trials["trial_id"].to_pylist(), tables.trials["on_front"].to_pylist(), strict=True))
    assert front == {"bsd-none-0000": True, "bsd-none-0001": False, "bsd-none-0002": False}


def test_evaluations_and_bins_know_their_trial() -> None:
    tables = make_tables(("bsd/none", 0, 0.9, 0.1), ("bsd/none", 1, None, 0.0), ("cs_kd/none", 0, 0.7, 0.2))
    assert tables.evaluations.select(["trial_id", "phase", "accuracy"]).to_pylist() == [
        {"trial_id": "bsd-none-0000", "phase": "search", "accuracy": 0.9},
        {"trial_id": "cs_kd-none-0000", "phase": "search", "accuracy": 0.7},
    ]
    empty, full = tables.reliability.slice(0, 2).to_pylist()
    assert (empty["count"], empty["mean_confidence"], empty["accuracy"]) == (0, None, None)
    assert (full["bin"], full["count"], full["mean_confidence"], full["accuracy"]) == (14, 100, 0.97, 0.9)


# --- by column


def row_by_row(events: list[Event]) -> dict[str, pa.Table]:
    """The three long tables as they are meant, a row at a time."""
    phases: dict[str, str] = {}
    ends: dict[str, Event] = {}
    epochs: dict[tuple[str, int], Event] = {}
    for event in events:
        match event["event"]:
            case "suggest":
                phases[event["trial_id"]] = event["phase"]
            case "epochs":
                epochs |= {(event["trial_id"], row["epoch"]): {**row, "trial_id": event["trial_id"]} for row in event["rows"]}
            case "end":
                ends[event["trial_id"]] = event
    order = build_tables(events, CONSTANTS).trials["trial_id"].to_pylist()

    def measured(kind: str) -> list[Event]:
        return [{**row, "trial_id": trial_id, "phase": phases[trial_id]} for trial_id in order for row in ends[trial_id][kind]]

    return {
        "epochs": pa.Table.from_pylist([row for key, row in epochs.items() if key[0] in ends], EPOCHS),
        "evaluations": pa.Table.from_pylist(measured("evaluations"), EVALUATIONS),
        "reliability": pa.Table.from_pylist(measured("reliability"), RELIABILITY),
    }


def assert_as_row_by_row(events: list[Event]) -> None:
    """However the events are held: as rows, by column, or read from a ledger of either kind."""
    lines = [as_line(event) for event in events]
    old = [json.dumps(event).encode() for event in events]
    for given in (events, parse_lines(lines).events, parse_lines(old).events, LedgerReader.of_lines(lines)):
        tables = build_tables(given, CONSTANTS)
        for name, right in row_by_row(events).items():
            table: pa.Table = getattr(tables, name)
            assert table.equals(right), name
            assert table.schema.equals(right.schema, check_metadata=True)


@pytest.mark.parametrize("at_once", [1, 3, 1 << 16])
def test_tables_by_column_are_those_row_by_row(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs told twice, out of order or of a trial that never began; ends told twice; rows of several kinds; numbers and nulls mixed."""
    monkeypatch.setattr(stack, "_AT_ONCE", at_once)
    arm, other = "bsd/none", "cs_kd/none"
    again = make_end(arm, 0, 0.7, 0.2)
    again["evaluations"] = [
        *again["evaluations"],
        {**again["evaluations"][0], "shift": "corruption", "name": "fog", "severity": 3, "ece": 1},
    ]
    perturbed = {"split": "val", "shift": "perturbation", "name": "rotate", "severity": 1, "n": 7, "flip_probability": 0.25}
    events = [
        make_suggest(other, 1),
        make_suggest(arm, 0),
        make_epochs(arm, 0, make_epoch(1, train_loss=9.0), make_epoch(2, label_recovery=0.5)),
        make_epochs(other, 1, make_epoch(2), make_epoch(1)),
        make_end(arm, 0, 0.9),
        make_suggest(arm, 0),
        make_epochs(arm, 0, make_epoch(2, val_ece=0), make_epoch(3), {"epoch": 4, "train_loss": 1.0, "new": "x"}),
        make_epochs("bsd/none", 7, make_epoch(1)),
        again,
        {**make_end(other, 1, 0.8), "evaluations": [perturbed, *make_end(other, 1, 0.8)["evaluations"]]},
        make_suggest(other, 2),
        make_end(other, 2, None),
        make_end(other, 3, 0.5),
    ]
    assert_as_row_by_row(events)


def test_tables_of_a_played_run_are_those_row_by_row(tmp_path: Path) -> None:
    run = play_run(
        tmp_path, conditions=["symmetric:0.4"], evaluate={"corruptions": ["fog"], "severities": [1, 3], "perturbations": ["tilt"]}
    )
    events = [
        {name: list(value) if isinstance(value, Rows) else value for name, value in event.items()} for event in LedgerReader(run.ledger)
    ]
    assert len(events) > 8
    assert_as_row_by_row(events)


def test_a_setting_that_is_a_text_in_one_method_and_a_number_in_another_is_a_text() -> None:
    events = [make_suggest("bsd/none", 0, params={"power": 2.0}), make_end("bsd/none", 0, 0.9)]
    events += [make_suggest("cs_kd/none", 0), make_end("cs_kd/none", 0, 0.9)]
    events[2]["params"] = {"power": "high"}
    assert build_tables(events, CONSTANTS).trials["param_power"].to_pylist() == ["2.0", "high"]


# --- files


def write(folder: Path) -> tuple[RunFolder, Tables]:
    run = make_run(folder)
    tables = make_tables(("bsd/none", 0, 0.9, 0.1), ("bsd/none", 1, None, 0.0))
    write_tables(run, tables, {"study": "mine", "provenance": json.dumps({"seed": 0})})
    return run, tables


def test_written_tables_read_back_as_they_were(tmp_path: Path) -> None:
    run, tables = write(tmp_path)
    read = read_tables(run)
    for name in PROMISED:
        assert getattr(read, name).equals(getattr(tables, name))


@pytest.mark.parametrize("name", list(PROMISED))
def test_files_carry_version_provenance_and_meanings(name: str, tmp_path: Path) -> None:
    run, _ = write(tmp_path)
    schema = pq.read_schema(run.tables / f"{name}.parquet")
    assert schema.metadata[b"schema_version"].decode() == SCHEMA_VERSION
    assert schema.metadata[b"study"] == b"mine"
    assert json.loads(schema.metadata[b"provenance"]) == {"seed": 0}
    assert all(field.metadata[b"description"] for field in schema)


def test_only_the_four_tables_are_in_the_folder(tmp_path: Path) -> None:
    run, _ = write(tmp_path)
    assert sorted(path.name for path in run.tables.iterdir()) == [f"{name}.parquet" for name in sorted(PROMISED)]


def test_duckdb_reads_the_files(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    run, _ = write(tmp_path)
    with duckdb.connect() as connection:
        query = (
            f"select t.state, count(e.epoch), max(t.val_accuracy) from '{run.tables}/trials.parquet' t "
            f"join '{run.tables}/epochs.parquet' e using (trial_id) group by 1 order by 1"
        )
        assert connection.execute(query).fetchall() == [("complete", 2, 0.9), ("failed", 2, None)]
        for name in PROMISED:
            columns = [row[0] for row in connection.execute(f"describe select * from '{run.tables}/{name}.parquet'").fetchall()]
            assert columns == pq.read_schema(run.tables / f"{name}.parquet").names


def test_pandas_reads_the_files(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    run, _ = write(tmp_path)
    frames = {name: pandas.read_parquet(run.tables / f"{name}.parquet") for name in PROMISED}
    assert {name: len(frame) for name, frame in frames.items()} == {"trials": 2, "epochs": 4, "evaluations": 1, "reliability": 2}
    assert frames["trials"].set_index("trial_id").val_accuracy["bsd-none-0000"] == 0.9
    assert frames["trials"].val_accuracy.isna().tolist() == [False, True]


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    run, _ = write(tmp_path)
    (run.tables / "epochs.parquet").unlink()
    with pytest.raises(DataError, match=r"No table '.*epochs\.parquet'"):
        read_tables(run)


def test_a_broken_table_is_named(tmp_path: Path) -> None:
    run, _ = write(tmp_path)
    path = run.tables / "reliability.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"reliability\.parquet: not a readable table"):
        read_tables(run)


@pytest.mark.parametrize("metadata", [{"schema_version": "99"}, {}])
def test_another_schema_version_is_refused(metadata: dict[str, str], tmp_path: Path) -> None:
    run, tables = write(tmp_path)
    pq.write_table(tables.trials.replace_schema_metadata(metadata), run.tables / "trials.parquet")
    with pytest.raises(
        DataError, match=rf"trials\.parquet: schema version {metadata.get('schema_version', 'none')}, but .* version {SCHEMA_VERSION}"
    ):
        read_tables(run)


def test_tables_of_an_older_version_say_who_wrote_them_and_are_built_again_from_their_ledger(tmp_path: Path) -> None:
    """Events of `make_events` know nothing of samplers, confirmation or early stopping, as ledgers did not before version 3."""
    run, tables = write(tmp_path)
    write_ledger(run.ledger, make_events(("bsd/none", 0, 0.9, 0.1), ("bsd/none", 1, None, 0.0)))
    written_by = {"provenance": json.dumps({"packages": {"bsd-study": "0.0.9"}})}
    pq.write_table(tables.trials.replace_schema_metadata({"schema_version": "2", **written_by}), run.tables / "trials.parquet")
    with pytest.raises(DataError, match=r"schema version 2 \(written by bsd-study 0\.0\.9\), .*: \S+ -m studies front "):
        read_tables(run)
    write_results(run)
    rebuilt = read_tables(run).trials
    assert rebuilt.schema.metadata[b"schema_version"] == b"3"
    assert [(row["sampler"], row["audited"], row["confirms"]) for row in rebuilt.to_pylist()] == [("tpe", False, None)] * 2
