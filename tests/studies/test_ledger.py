from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsd_core.errors import StorageError
from studies.ledger import Event, Ledger, own_temperature, parse_lines, read_ledger
from tests._dummies import PROPERTY
from tests.studies._dummies import make_end, make_suggest, write_ledger

EVENTS: list[Event] = [make_suggest("bsd/none", 0), {**make_end("bsd/none", 0, 0.9), "error": "ünlucky\nline"}]


def test_what_is_appended_is_read_in_order(tmp_path: Path) -> None:
    write_ledger(tmp_path / "ledger.jsonl", EVENTS)
    contents = read_ledger(tmp_path / "ledger.jsonl")
    assert (contents.events, contents.broken_lines) == (EVENTS, 0)


def test_an_event_is_one_line_of_json(tmp_path: Path) -> None:
    write_ledger(tmp_path / "ledger.jsonl", EVENTS)
    lines = (tmp_path / "ledger.jsonl").read_bytes().split(b"\n")
    assert [json.loads(line) for line in lines[:-1]] == EVENTS
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
