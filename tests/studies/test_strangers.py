"""A run folder from a stranger: whatever its files hold, they are read as data, and every command stays within the folder."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import studies
from bsd_core.errors import BSDError
from studies import parquet_file
from studies.ledger import parse_lines
from studies.results import ledger_tables
from studies.run_folder import RunFolder
from studies.search import StudySearch
from studies.statistics.document import collect_statistics
from studies.verify_form import require_own_trials
from studies.yaml_strict import dump_yaml, parse_yaml
from tests.studies._played_runs import copy_run, play_run
from tests.studies._strangers import COMMANDS, NONSENSE, assert_harmless, call, command, edited, payloads

SHOWN = {"corruptions": ["contrast"], "severities": [3]}
N_KINDS = 8  # of files in a run folder
STEERING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run, with everything that a run can have."""
    folder = tmp_path_factory.mktemp("whole")
    confirm = {"seeds": 2, "at_most": 1, "operating_points": False, **SHOWN}
    run = play_run(folder, conditions=["none", "symmetric:0.4"], evaluate=SHOWN, confirm=confirm, trials=1)
    assert len(files(run)) == N_KINDS
    return run


@pytest.fixture
def run(whole: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A copy of it, and the user elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return copy_run(whole, tmp_path / "stranger")


def files(run: RunFolder) -> list[Path]:
    """One file of each kind, relative to the run folder."""
    kinds = ["study.yaml", "provenance.json", "ledger.jsonl", "optuna.journal", "tables/trials.parquet", "report/statistics.json"]
    first = [next(iter(sorted(folder.glob("*.parquet")))) for folder in (run.predictions, run.labels)]
    return [path.relative_to(run.path) for path in [*(run.path / kind for kind in kinds), *first] if path.is_file()]


# --- one file replaced


@pytest.mark.parametrize("number", range(N_KINDS))
def test_nothing_in_a_pickle_is_executed_wherever_it_stands(number: int, run: RunFolder, whole: RunFolder, tmp_path: Path) -> None:
    file = files(whole)[number]
    contents = list(payloads(tmp_path / "canary").values())
    commands = COMMANDS if file.name != "ledger.jsonl" else ("front", "verify", "retrain")  # without a ledger, resume trains all again
    for turn, name in enumerate(commands):
        (run.path / file).write_bytes(contents[turn % len(contents)])
        assert_harmless(call(name, run), run)
        assert not (tmp_path / "canary").exists(), name
        shutil.copytree(whole.path, run.path, dirs_exist_ok=True)
    for content in contents:
        (run.path / file).write_bytes(content)
        _load(run)
        assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("number", range(N_KINDS))
@pytest.mark.parametrize("kind", range(len(NONSENSE)))
def test_nonsense_in_place_of_a_file_is_no_traceback(kind: int, number: int, run: RunFolder, whole: RunFolder) -> None:
    file, names = files(whole)[number], ("report", "verify", "retrain", "front")
    (run.path / file).write_bytes(list(NONSENSE.values())[kind])
    assert_harmless(call(names[(kind + number) % len(names)], run), run)


def test_a_number_of_the_report_that_no_float_holds_differs(run: RunFolder) -> None:
    document = json.loads(run.statistics.read_bytes())
    document["confirmed"][0]["corruption_accuracy"]["contrast"]["mean"] = 10**400
    run.statistics.write_text(json.dumps(document), encoding="utf-8")
    answer = call("verify", run)
    assert_harmless(answer, run, 1)
    assert "confirmed[0].corruption_accuracy.contrast.mean" in answer.printed.replace("\n", "")


def test_a_ledger_that_is_a_folder_is_one_line(run: RunFolder) -> None:
    run.ledger.unlink()
    run.ledger.mkdir()
    answer = call("front", run)
    assert_harmless(answer, run, 2)
    assert "ledger.jsonl" in answer.errors


def _load(run: RunFolder) -> None:
    with contextlib.suppress(BSDError):
        studies.load(run.path)


# --- links


LINKED = ["study.yaml", "ledger.jsonl", "run.log", ".lock", "provenance.json", "optuna.journal"]
LINKED += ["tables", "report", "labels", "ray", "checkpoints"]


@pytest.mark.parametrize("file", LINKED)
def test_links_do_not_lead_out_of_the_run_folder(file: str, run: RunFolder, tmp_path: Path) -> None:
    place, victim = run.path / file, tmp_path / "victim"
    if place.is_dir() or not place.suffix:
        shutil.move(place, victim) if place.is_dir() else victim.mkdir()
    if file == ".lock" or place.is_file():
        shutil.rmtree(victim, ignore_errors=True)
        victim.write_text("precious, and no newline", encoding="utf-8") if file != "study.yaml" else shutil.copy(place, victim)
        place.unlink(missing_ok=True)
    place.symlink_to(victim)
    before = {path: path.stat().st_mtime_ns for path in [victim, *victim.rglob("*")]}
    for name in COMMANDS:
        answer = call(name, run)
        assert_harmless(answer, run, 2)
        assert " is a link to " in answer.errors
    assert {path: path.stat().st_mtime_ns for path in [victim, *victim.rglob("*")]} == before


def test_what_is_neither_a_file_nor_a_folder_is_not_waited_for(run: RunFolder) -> None:
    os.mkfifo(run.path / "run.log.fifo")
    answer = call("front", run)
    assert_harmless(answer, run, 2)
    assert "neither a file nor a folder" in answer.errors


def test_what_lies_in_rays_folder_is_neither_executed_nor_followed(run: RunFolder, tmp_path: Path) -> None:
    folder = run.ray / "search"
    folder.mkdir(parents=True)
    for name in ("tuner.pkl", "trainable.pkl", "searcher-state-2025.pkl", "experiment_state-1.json", "params.pkl"):
        (folder / name).write_bytes(payloads(tmp_path / "canary")["pickle"])
    (folder / "experiment_state-2.json").write_bytes(NONSENSE["deep list"])
    (folder / "experiment_state-3.json").symlink_to(tmp_path / "absent")
    (folder / "home").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "precious").write_text("x", encoding="utf-8")
    lines = run.ledger.read_text(encoding="utf-8").splitlines()
    run.ledger.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")  # the last training has not ended
    assert_harmless(call("resume", run), run, 0)
    assert not run.ray.exists()
    assert not (tmp_path / "canary").exists()
    assert (tmp_path / "elsewhere" / "precious").exists()


# --- the ledger


IDS = ["../../../x", "/etc/passwd", "..", ".", "", "a/b", "x" * 5000, "a\0b", "\x1b[31m", "\ud800", "-rf", "C:\\x", "~", "a\nb"]


@pytest.mark.parametrize("trial_id", IDS)
def test_a_trial_id_never_leads_out_of_the_run_folder(trial_id: str, run: RunFolder, tmp_path: Path) -> None:
    lines = run.ledger.read_text(encoding="utf-8").splitlines()
    old = next(json.loads(line)["trial_id"] for line in lines if '"event":"suggest"' in line)
    text = "\n".join(json.dumps(_renamed(json.loads(line), old, trial_id)) for line in lines) + "\n"
    for name in ("front", "verify", *(["resume"] if trial_id in IDS[:3] else [])):  # which trains anew what it cannot read
        run.ledger.write_text(text, encoding="utf-8")
        assert_harmless(call(name, run), run)
    inside = {path for path in tmp_path.rglob("*") if path.is_relative_to(run.path)}
    assert set(tmp_path.rglob("*")) - inside - {*run.path.parents} == {tmp_path / "elsewhere"}


def _renamed(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {_renamed(name, old, new): _renamed(inner, old, new) for name, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner, old, new) for inner in value]
    return value.replace(old, new) if isinstance(value, str) else value


JUNK: list[Any] = [None, True, -1, 0.5, 2**53 + 1, 10**400, 1e308, "", "x", "../../x", [], [1], {}, {"a": 1}, [[[]]], "a" * 3000]


@pytest.mark.parametrize("kind", ["suggest", "epochs", "end", "confirm"])
def test_any_value_of_an_event_can_be_junk(kind: str, whole: RunFolder) -> None:
    lines = whole.ledger.read_text(encoding="utf-8").splitlines()
    number = next(number for number, line in enumerate(lines) if f'"event":"{kind}"' in line)
    for turn, place in enumerate(_places(json.loads(lines[number]))):
        for junk in (JUNK * 3)[5 * turn % len(JUNK) :][:2]:
            spoiled = edited(lines, number, lambda event, place=place, junk=junk: _put(event, place, junk))  # type: ignore[misc]
            events = parse_lines(line.encode() for line in spoiled).events
            with contextlib.suppress(BSDError):
                tables = ledger_tables(whole, events)
                if tables is not None:
                    require_own_trials(whole, tables.trials)
                    collect_statistics(tables, whole.spec(), whole.predictions)
            with contextlib.suppress(BSDError):
                StudySearch(whole.spec(), slots=1).replay(events)


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where there is a value inside of an event; of a list, the first alone."""
    inner = value.items() if isinstance(value, dict) else list(enumerate(value))[:1] if isinstance(value, list) else ()
    for name, part in inner:
        yield (*place, name)
        yield from _places(part, (*place, name))


def _put(event: Any, place: tuple[Any, ...], value: Any) -> None:
    for name in place[:-1]:
        event = event[name]
    event[place[-1]] = value


# --- tables


def _with_column(name: str, column: pa.Array) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.set_column(table.column_names.index(name), name, column)


def _nulls(kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        for name in ("val_accuracy", "method", "trial_number"):
            table = table.set_column(table.column_names.index(name), name, pa.nulls(len(table), kind))
        return table

    return change


def _constant(name: str, value: float) -> Callable[[pa.Table], pa.Table]:
    return lambda table: _with_column(name, pa.array([value] * len(table)))(table)


def _metadata(**added: bytes) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.replace_schema_metadata({**table.schema.metadata, **{name.encode(): text for name, text in added.items()}})


def _as_extension(table: pa.Table) -> pa.Table:
    metadata = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": b"\x80\x04."}
    return table.cast(pa.schema([field.with_metadata(metadata) for field in table.schema], metadata=table.schema.metadata))


TABLES: dict[str, Callable[[pa.Table], pa.Table]] = {
    "no rows": lambda table: table.slice(0, 0),
    "rows twice": lambda table: pa.concat_tables([table, table]),
    "no column": lambda table: table.drop_columns(["val_accuracy"]),
    "a column twice": lambda table: table.append_column("method", table["method"]),
    "a column more": lambda table: table.append_column("__class__", table["method"]),
    "nested": _nulls(pa.list_(pa.struct([("a", pa.list_(pa.int64()))]))),
    "a map": _nulls(pa.map_(pa.string(), pa.int64())),
    "decimals": _nulls(pa.decimal256(76, 2)),
    "bytes": _nulls(pa.binary()),
    "no type": _nulls(pa.null()),
    "a dictionary": lambda table: _with_column("method", table["method"].combine_chunks().dictionary_encode())(table),
    "most trials": _constant("trial_number", 2**63 - 1),
    "fewest trials": _constant("trial_number", -(2**63)),
    "most epochs": _constant("epochs", 2**63 - 1),
    "fewer than no epochs": _constant("epochs", -1),
    "a seed below zero": _constant("seed", -(2**63)),
    "most images": _constant("images_seen", 2**63 - 1),
    "infinite": _constant("val_accuracy", float("inf")),
    "not a number": _constant("val_ece", float("nan")),
    "a setting that is no number": _constant("param_learning_rate", float("nan")),
    "a setting that is a truth value": _constant("param_learning_rate", True),
    "deep provenance": _metadata(provenance=b"[" * 100_000),
    "odd pandas": _metadata(pandas=b"{\xff"),
    "odd version": _metadata(schema_version=b"\xff\x1b[31m" * 500),
    "an extension type": _as_extension,
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("with_ledger", [True, False])
def test_tables_of_any_form_are_read_or_refused(kind: str, with_ledger: bool, run: RunFolder) -> None:
    path = run.tables / "trials.parquet"
    table = pq.read_table(path, partitioning=None)
    pq.write_table(TABLES[kind](table), path)
    if not with_ledger:
        run.ledger.unlink()
    assert_harmless(call("verify" if with_ledger else "report", run), run)
    _load(run)


def test_a_small_file_of_more_rows_than_memory_holds_is_refused_before_it_is_read(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "machine_memory", lambda: 10**9)
    path = run.tables / "trials.parquet"
    schema = pq.read_schema(path)
    rows = pa.table({name: pa.nulls(300_000) for name in schema.names}).replace_schema_metadata(schema.metadata)
    pq.write_table(rows, path)
    assert path.stat().st_size < 1_000_000
    answer = call("report", run)
    assert_harmless(answer, run, 2)
    assert "300,000 rows, which would not fit into memory" in answer.errors


def test_names_of_folders_add_no_columns(run: RunFolder, tmp_path: Path) -> None:
    moved = RunFolder(run.study, tmp_path / "seed=3" / "method=x" / run.run_id)
    shutil.copytree(run.path, moved.path)
    assert call("verify", moved).code == call("verify", run).code == 0


# --- the terminal


def test_texts_of_a_stranger_do_not_steer_the_terminal(run: RunFolder) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e[red]plain[/red] :skull:"
    document = parse_yaml((run.path / "study.yaml").read_text(encoding="utf-8"), where="study.yaml")
    (run.path / "study.yaml").write_text(dump_yaml({**document, "question": evil, "data_dir": evil}), encoding="utf-8")
    shutil.copy(run.path / "study.yaml", "mine.yaml")
    provenance = json.loads((run.path / "provenance.json").read_text(encoding="utf-8"))
    provenance |= {"packages": {evil: evil, "torch": evil}, "platform": evil, "run_id": evil, "test": {"opened": evil}}
    (run.path / "provenance.json").write_text(json.dumps(provenance), encoding="utf-8")
    lines = run.ledger.read_text(encoding="utf-8").splitlines()
    number = next(number for number, line in enumerate(lines) if '"event":"end"' in line)
    lines = edited(lines, number, lambda event: event.update(state="failed", error=evil, node=evil, device=evil))
    run.ledger.write_text("\n".join(lines) + "\n", encoding="utf-8")
    said = [command("describe", "mine.yaml"), *(call(name, run) for name in ("front", "report", "verify", "retrain"))]
    for answer in said:
        assert not STEERING.search(answer.printed)
        assert not STEERING.search(answer.errors)
    assert "[red]plain[/red] :skull:" in said[0].printed
