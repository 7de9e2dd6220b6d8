from __future__ import annotations

import json
import os
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsd_core.errors import StorageError
from studies.ledger import MEASURED, Event, Ledger, LedgerReader, as_line, own_temperature, parse_lines, read_ledger
from studies.ledger_rows import Rows, cells, packed
from tests._dummies import PROPERTY
from tests.studies._dummies import make_end, make_epoch, make_epochs, make_events, make_suggest, write_ledger

EVENTS: list[Event] = [make_suggest("bsd/none", 0), {**make_end("bsd/none", 0, 0.9), "error": "ünlucky\nline"}]


def test_what_is_appended_is_read_in_order(tmp_path: Path) -> None:
    write_ledger(tmp_path / "ledger.jsonl", EVENTS)
    contents = read_ledger(tmp_path / "ledger.jsonl")
    assert (contents.events, contents.broken_lines) == (EVENTS, 0)


def test_an_event_is_one_line_of_json(tmp_path: Path) -> None:
    write_ledger(tmp_path / "ledger.jsonl", EVENTS)
    lines = (tmp_path / "ledger.jsonl").read_bytes().split(b"\n")
    assert [parse_lines([line]).events for line in lines[:-1]] == [[event] for event in EVENTS]
    assert [json.loads(line)["event"] for line in lines[:-1]] == ["suggest", "end"]
    assert lines[-1] == b""


def test_an_event_can_be_read_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append(EVENTS[0])
    assert read_ledger(tmp_path / "ledger.jsonl").events == EVENTS[:1]
    ledger.close()


def test_a_missing_ledger_is_empty(tmp_path: Path) -> None:
    contents = read_ledger(tmp_path / "ledger.jsonl")
    assert (contents.events, contents.broken_lines) == ([], 0)
    assert not (tmp_path / "ledger.jsonl").exists()


def test_opening_a_ledger_again_appends(tmp_path: Path) -> None:
    for event in EVENTS:
        write_ledger(tmp_path / "ledger.jsonl", [event])
    assert read_ledger(tmp_path / "ledger.jsonl").events == EVENTS


@pytest.mark.parametrize("half", [b"{", b'{"event":"end","trial_id":"b"', b'{"event":"end","trial_id":"b"}', b"x" * 200_000])
def test_a_half_written_last_line_is_cut_off_before_anything_is_appended(half: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write_ledger(path, EVENTS[:1])
    whole = path.read_bytes()
    path.write_bytes(whole + half)
    write_ledger(path, EVENTS[1:])
    contents = read_ledger(path)
    assert (contents.events, contents.broken_lines) == (EVENTS, 0)
    assert path.read_bytes().startswith(whole)


def test_a_ledger_of_half_a_line_becomes_empty(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b'{"event":"sugg')
    Ledger(path).close()
    assert path.read_bytes() == b""


def test_reading_a_half_written_last_line_counts_it_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write_ledger(path, EVENTS)
    path.write_bytes(before := path.read_bytes() + b'{"event":"end","tri')
    contents = read_ledger(path)
    assert (contents.events, contents.broken_lines) == (EVENTS, 1)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "line", [b"x", b"[]", b"3", b"null", b"{}", b'{"event": 3}', b'{"event": "end"', b"\xff\xfe", b"[" * 100_000, b"9" * 5000]
)
def test_a_line_that_is_no_event_is_counted_and_left_out(line: bytes) -> None:
    first, second = (json.dumps(event).encode() for event in EVENTS)
    contents = parse_lines([first, line, second])
    assert (contents.events, contents.broken_lines) == (EVENTS, 1)


def test_empty_lines_are_nothing() -> None:
    assert parse_lines([b"\n", b"  \n", b""]).broken_lines == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_cannot_hold_are_refused_and_leave_the_ledger_as_it_was(value: float, tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    ledger.append(EVENTS[0])
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        ledger.append({"event": "end", "metrics": {"val_ece": value}}, sync=True)
    ledger.append(EVENTS[1])
    ledger.close()
    contents = read_ledger(path)
    assert (contents.events, contents.broken_lines) == (EVENTS, 0)


def test_a_synced_event_is_on_the_disk_when_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, synced = tmp_path / "ledger.jsonl", []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(path.read_bytes())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    ledger = Ledger(path)
    ledger.append(EVENTS[0])
    assert synced == []
    ledger.append(EVENTS[1], sync=True)
    assert [len(content.splitlines()) for content in synced] == [2]
    ledger.close()


@PROPERTY
@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_error(content: bytes) -> None:
    lines = content.split(b"\n")
    contents = parse_lines(lines)
    assert len(contents.events) + contents.broken_lines == sum(bool(line.strip()) for line in lines)


def without(event: Event, name: str) -> Event:
    return {key: value for key, value in event.items() if key != name}


@pytest.mark.parametrize(
    "event",
    [
        {"event": "end"},
        without(make_suggest("bsd/none", 0), "trial_number"),
        {**make_suggest("bsd/none", 0), "params": []},
        {"event": "epochs", "trial_id": "a"},
        without(make_end("bsd/none", 0, 0.9), "metrics"),
        {**make_end("bsd/none", 0, 0.9), "metrics": {"val_accuracy": 0.9}},
        {**make_end("bsd/none", 0, 0.9), "evaluations": None},
    ],
)
def test_an_event_that_lacks_what_its_kind_must_have_is_counted_as_broken(event: Event) -> None:
    contents = parse_lines([json.dumps(event).encode()])
    assert (contents.events, contents.broken_lines) == ([], 1)


def line_of(event: Event, **changes: object) -> bytes:
    return as_line({**event, **changes})


COMPLETE = make_end("bsd/none", 0, 0.9)
EPOCHS = make_epochs("bsd/none", 0, make_epoch(1), make_epoch(2))
ROW = COMPLETE["evaluations"][0]


@pytest.mark.parametrize(
    "event",
    [
        *({**COMPLETE, "trial_id": name} for name in ("../../x", "a/b", "", ".", ".hidden", "a\0b", "a\nb", "x" * 300, 7, None)),
        {**COMPLETE, "state": "splendid"},
        {**COMPLETE, "state": "stopped"},  # but not where
        {**COMPLETE, "state": "stopped", "stopped_at": 1.5},
        {**COMPLETE, "total_epochs": "many"},
        {**COMPLETE, "epochs": True},
        {**COMPLETE, "images_seen": 2**63},
        {**COMPLETE, "train_seconds": "long"},
        {**COMPLETE, "metrics": {**COMPLETE["metrics"], "val_brier": [1.0]}},
        {**COMPLETE, "metrics": {**COMPLETE["metrics"], "val_brier": 2**60}},
        {**COMPLETE, "metrics": {**COMPLETE["metrics"], "unknown": {"a": 1}}},
        {**COMPLETE, "metrics": {**COMPLETE["metrics"], "val_nll": None}},
        {**COMPLETE, "evaluations": [{**ROW, "accuracy": "high"}]},
        {**COMPLETE, "evaluations": [{**ROW, "accuracy": {"a": 1}}]},
        {**COMPLETE, "evaluations": [{**ROW, "n": 2**60}]},
        {**COMPLETE, "evaluations": [{**ROW, "n": 1.5}]},
        {**COMPLETE, "evaluations": [{**ROW, "severity": None}]},
        {**COMPLETE, "evaluations": [{"accuracy": 0.5}]},
        {**COMPLETE, "evaluations": [{}]},
        {**COMPLETE, "evaluations": ["row"]},
        {**COMPLETE, "evaluations": {"accuracy": [0.5]}},
        {**EPOCHS, "rows": [{"epoch": [1, 2], "train_loss": [0.5]}]},
        {**EPOCHS, "rows": [{"epoch": [], "train_loss": []}]},
        {**EPOCHS, "rows": [{"epoch": [1, 2], "train_loss": 0.5}]},
        {**EPOCHS, "rows": [{"epoch": [1, 2], "train_loss": "ab"}]},
        {**EPOCHS, "rows": [{"epoch": [1, None], "train_loss": [0.5, 0.5]}]},
        {**EPOCHS, "rows": [{"epoch": [1, True], "train_loss": [0.5, 0.5]}]},
        {**EPOCHS, "rows": [{"epoch": [1, 2], "train_loss": [0.5, [0.5]]}]},
        {**EPOCHS, "rows": [{"train_loss": [0.5, 0.5]}]},
        {**EPOCHS, "rows": [{"epoch": 2**54}]},
        {**make_suggest("bsd/none", 0), "phase": "elsewhere"},
        {**make_suggest("bsd/none", 0), "seed": 2**63},
        {**make_suggest("bsd/none", 0), "params": {"learning_rate": [0.1]}},
        {**make_suggest("bsd/none", 0), "params": {"learning_rate": None}},
        {**make_suggest("bsd/none", 0), "sampler": 3},
        without(make_suggest("bsd/none", 0), "noise_rate"),
        {"event": "confirm", "chosen": {"a": "best"}, "opened": "", "test_fingerprint": ""},
        {"event": "confirm", "chosen": {"a": [1]}, "opened": "", "test_fingerprint": ""},
    ],
)
def test_what_no_table_can_hold_is_counted_as_broken(event: Event) -> None:
    contents = parse_lines([json.dumps(event).encode()])
    assert (contents.events, contents.broken_lines) == ([], 1)


# --- rows by column

MIXED: list[Event] = [{"epoch": 1, "a": 0.5}, {"epoch": 2, "a": None}, {"epoch": 3}, {"epoch": 4, "a": 1}, {"a": 2.0, "epoch": 5}]


def test_rows_are_written_by_column_and_read_as_they_were(tmp_path: Path) -> None:
    """Also rows of several kinds, in their order and with the order of their columns."""
    line = line_of(EPOCHS, rows=MIXED)
    assert json.loads(line)["rows"] == [{"epoch": [1, 2], "a": [0.5, None]}, {"epoch": 3}, {"epoch": 4, "a": 1}, {"a": 2.0, "epoch": 5}]
    (event,) = parse_lines([line]).events
    assert [list(row.items()) for row in event["rows"]] == [list(row.items()) for row in MIXED]
    assert (len(event["rows"]), event["rows"][1], event["rows"][-1], event["rows"][1:3]) == (5, MIXED[1], MIXED[-1], MIXED[1:3])
    assert list(cells(event["rows"], "a", "b")) == [(0.5, None), (None, None), (None, None), (1, None), (2.0, None)]


def test_each_name_stands_once_in_a_line() -> None:
    end = {**COMPLETE, "reliability": COMPLETE["reliability"] * 20}
    assert line_of(end).count(b"mean_confidence") == 1
    assert line_of(end).startswith(b'{"event":"end"')


def test_what_was_read_is_written_as_it_was() -> None:
    line = line_of(EPOCHS)
    assert as_line(parse_lines([line]).events[0]) == line


def test_ledgers_with_a_row_at_a_time_are_read_as_ever() -> None:
    """As all were before rows were written by column."""
    events = make_events(("bsd/none", 0, 0.9, 0.1), ("bsd/none", 1, None, 0.0))
    contents = parse_lines([json.dumps(event).encode() for event in events])
    assert (contents.events, contents.broken_lines) == (events, 0)


@PROPERTY
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["epoch", "val_ece", "train_loss", "new"]),
            st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53),
            min_size=1,
        ),
        max_size=12,
    )
)
def test_any_rows_come_back_as_they_were(rows: list[Event]) -> None:
    read = Rows(json.loads(json.dumps(packed(rows))))
    assert [[(name, repr(value)) for name, value in row.items()] for row in read] == [
        [(name, repr(value)) for name, value in row.items()] for row in rows
    ]
    assert len(read) == len(rows)
    assert read == rows


@PROPERTY
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["epoch", "split", "accuracy", "x"]), inner, max_size=3)
        ),
        max_leaves=12,
    ),
    st.sampled_from(["rows", "evaluations", "metrics", "reliability", "stopped_at", "train_seconds", "state", "error"]),
)
def test_whatever_an_event_holds_its_rows_can_be_walked(value: object, name: str) -> None:
    event = EPOCHS if name == "rows" else COMPLETE
    line = json.dumps({**event, name: value}).encode()
    contents = parse_lines([line])
    assert len(contents.events) + contents.broken_lines == 1
    for read in contents.events:
        rows = [dict(row) for kind in ("rows", "evaluations", "reliability") for row in read.get(kind, [])]
        assert all(isinstance(row, dict) and row for row in rows)


# --- leaving out

WHOLE = [*make_events(("bsd/none", 0, 0.9, 0.1), ("bsd/none", 1, 0.8, 0.2))]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Lines that were parsed."""
    seen: list[bytes] = []
    real = orjson.loads

    def loads(line: bytes) -> object:
        seen.append(line)
        return real(line)

    monkeypatch.setattr(orjson, "loads", loads)
    return seen


def test_without_epochs_no_line_of_epochs_is_parsed(tmp_path: Path, parsed: list[bytes]) -> None:
    path = tmp_path / "ledger.jsonl"
    write_ledger(path, WHOLE)
    contents = read_ledger(path, without=("epochs",))
    assert contents.events == [event for event in WHOLE if event["event"] != "epochs"]
    assert len(parsed) == 4
    assert not any(b"train_loss" in line for line in parsed)


def test_kinds_are_left_out_also_of_ledgers_that_do_not_say_them_first() -> None:
    lines = [json.dumps(dict(reversed(event.items()))).encode() for event in WHOLE]
    kinds = [event["event"] for event in LedgerReader.of_lines(lines, without=("epochs", "suggest"))]
    assert kinds == ["end", "end"]


def test_without_what_was_measured_an_end_still_says_how_a_trial_ended() -> None:
    """In old ledgers the clean row alone tells the temperature."""
    (end,) = LedgerReader.of_lines([line_of(COMPLETE)], without=MEASURED)
    assert (end["metrics"], end["temperature"], len(end["evaluations"]), len(end["reliability"])) == (COMPLETE["metrics"], 1.5, 0, 0)
    (end,) = LedgerReader.of_lines([line_of(COMPLETE, temperature=2.5)], without=MEASURED)
    assert end["temperature"] == 2.5


def test_a_reader_reads_anew_each_time_and_counts_what_it_read(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write_ledger(path, WHOLE[:3])
    reader = LedgerReader(path)
    assert list(reader) == WHOLE[:3]
    write_ledger(path, WHOLE[3:])
    path.write_bytes(path.read_bytes() + b'{"half')
    assert list(reader) == WHOLE
    assert (reader.broken_lines, reader.n_bytes) == (1, path.stat().st_size)


def test_half_a_line_at_the_end_is_counted_also_where_such_lines_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write_ledger(path, WHOLE)
    path.write_bytes(path.read_bytes() + as_line(EPOCHS)[:-30])
    contents = read_ledger(path, without=MEASURED)
    assert (len(contents.events), contents.broken_lines) == (4, 1)


def test_half_a_surrogate_pair_does_not_cost_the_event(tmp_path: Path) -> None:
    """As names of files can hold them."""
    path = tmp_path / "ledger.jsonl"
    write_ledger(path, [{**make_end("bsd/none", 0, None), "error": "no file caf\udce9"}])
    (event,) = read_ledger(path).events
    assert event["error"] == "no file caf?"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_is_an_error_of_ours_and_the_ledger_still_closes() -> None:
    ledger = Ledger.__new__(Ledger)
    ledger.path = Path("/dev/full")
    ledger._file = ledger.path.open("ab", buffering=0)
    with pytest.raises(StorageError, match="No space left on device"):
        ledger.append(EVENTS[0])
    ledger.close()


@pytest.mark.parametrize(
    ("end", "temperature"),
    [
        ({"evaluations": [{"split": "val", "shift": "clean", "temperature": 1.5}]}, 1.5),  # before there was a confirm phase
        ({"temperature": None, "evaluations": [{"split": "test", "shift": "clean", "temperature": 1.5}]}, None),  # that of another trial
        ({"temperature": 2.0, "evaluations": []}, 2.0),
        ({"evaluations": []}, None),
        ({"evaluations": [{"split": "val_noisy_labels", "shift": "clean", "temperature": 1.5}]}, None),
    ],
)
def test_a_trials_own_temperature_is_found_in_old_ledgers_too(end: Event, temperature: float | None) -> None:
    assert own_temperature(end) == temperature
