from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bsd_core.errors import StorageError
from studies import remote_ledger
from studies.ledger import Ledger, LedgerReader, parse_lines
from studies.remote_folder import Patience, RemoteFolder
from studies.remote_ledger import Part, RemoteLedger, join_parts, pull_ledger
from studies.remote_uri import open_remote
from tests.studies._dummies import make_end, make_suggest
from tests.studies._s3 import Store, Way

_opened: list[RemoteLedger] = []


@pytest.fixture(autouse=True)
def _lost_machines() -> Iterator[None]:
    yield
    while _opened:
        Ledger.close(_opened.pop())  # the file alone: what was not sent is not sent


def open_ledger(path: Path, folder: RemoteFolder, before: Any = lambda event: None) -> RemoteLedger:
    pull_ledger(folder, path)
    _opened.append(RemoteLedger(path, folder, before, lambda: None))
    return _opened[-1]


def ends(content: bytes) -> list[str]:
    return [event["trial_id"] for event in parse_lines(content.splitlines(keepends=True)).events if event["event"] == "end"]


def end(number: int) -> dict[str, Any]:
    return make_end("bsd/none", number, 0.9, 0.1)


def test_a_synced_event_and_all_before_it_are_in_the_store_before_append_returns(store: Store, tmp_path: Path) -> None:
    folder, path = store.folder(), tmp_path / "ledger.jsonl"
    ledger = open_ledger(path, folder)
    for number in range(3):
        ledger.append(make_suggest("bsd/none", number))
        assert len(join_parts(folder).content) < path.stat().st_size
        ledger.append(end(number), sync=True)
        assert join_parts(folder).content == path.read_bytes()
    assert len(folder.files()) == 3


def test_an_event_is_told_of_before_it_is_sent(store: Store, tmp_path: Path) -> None:
    folder, seen = store.folder(), list[tuple[str, int]]()
    ledger = open_ledger(tmp_path / "ledger.jsonl", folder, lambda event: seen.append((event["event"], len(folder.files()))))
    ledger.append(make_suggest("bsd/none", 0))
    ledger.append(end(0), sync=True)
    ledger.append(end(1), sync=True)
    assert seen == [("end", 0), ("end", 1)]


def test_another_machine_goes_on_where_the_first_was_lost(store: Store, tmp_path: Path) -> None:
    folder = store.folder()
    first = open_ledger(tmp_path / "first.jsonl", folder)
    first.append(end(0), sync=True)
    first.append(make_suggest("bsd/none", 1))  # never sent: the machine is lost
    second = open_ledger(tmp_path / "second.jsonl", folder)
    second.append(end(2), sync=True)
    second.close()
    assert ends(join_parts(folder).content) == [end(0)["trial_id"], end(2)["trial_id"]]
    assert join_parts(folder).in_order


def test_what_could_not_be_sent_is_sent_when_the_same_machine_goes_on(store: Store, tmp_path: Path) -> None:
    way, path = Way(store.port), tmp_path / "ledger.jsonl"
    folder = replace(open_remote(store.uri("unsent", port=way.port), {}), patience=Patience(0.5))
    ledger = open_ledger(path, folder)
    ledger.append(end(0), sync=True)
    way.cut()
    with pytest.raises(StorageError, match=r"^Cannot write 's3://.*/unsent/"):
        ledger.append(end(1), sync=True)
    ledger.close()
    way.mend()
    assert len(ends(join_parts(folder).content)) == 1
    again = open_ledger(path, folder)
    again.append(end(2), sync=True)
    assert ends(join_parts(folder).content) == [end(number)["trial_id"] for number in range(3)]
    way.cut()


def test_a_machine_whose_run_went_on_elsewhere_takes_over_what_is_in_the_store(store: Store, tmp_path: Path) -> None:
    folder = store.folder()
    first = open_ledger(tmp_path / "first.jsonl", folder)
    first.append(end(0), sync=True)
    first.append(make_suggest("bsd/none", 1))
    second = open_ledger(tmp_path / "second.jsonl", folder)
    second.append(end(2), sync=True)
    pull_ledger(folder, tmp_path / "first.jsonl")
    assert (tmp_path / "first.jsonl").read_bytes() == (tmp_path / "second.jsonl").read_bytes()


def test_a_ledger_is_not_appended_to_over_what_others_wrote(store: Store, tmp_path: Path) -> None:
    folder = store.folder()
    first = open_ledger(tmp_path / "first.jsonl", folder)
    first.append(end(0), sync=True)
    with pytest.raises(StorageError, match="changed just now: is another process at work"):
        RemoteLedger(tmp_path / "empty.jsonl", folder, lambda event: None, lambda: None)
    assert len(folder.files()) == 1


def test_what_two_wrote_against_each_other_is_all_read_and_put_in_order_by_the_next(store: Store, tmp_path: Path) -> None:
    folder = store.folder()
    both = [open_ledger(tmp_path / f"{name}.jsonl", folder) for name in "ab"]
    for turn, ledger in itertools.product(range(3), both):
        ledger.append(end(10 * both.index(ledger) + turn), sync=True)
    joined = join_parts(folder)
    assert not joined.in_order
    everything = sorted(end(number)["trial_id"] for number in (0, 1, 2, 10, 11, 12))
    assert sorted(ends(joined.content)) == everything
    third = open_ledger(tmp_path / "c.jsonl", folder)
    third.append(end(20), sync=True)
    third.close()
    assert join_parts(folder).in_order
    assert sorted(ends(join_parts(folder).content)) == sorted([*everything, end(20)["trial_id"]])


def test_many_parts_are_joined_and_few_are_left(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_ledger, "JOINED_AT", 4)
    folder, path = store.folder(), tmp_path / "ledger.jsonl"
    ledger = open_ledger(path, folder)
    most = 0
    for number in range(11):
        ledger.append(end(number), sync=True)
        assert join_parts(folder).content == path.read_bytes()
        most = max(most, len(folder.files()))
    assert most <= 2 + 4
    ledger.append(make_suggest("bsd/none", 11))
    ledger.close()
    assert len(folder.files()) == 3
    assert join_parts(folder).content == path.read_bytes()


@pytest.mark.parametrize("n_removed", range(5))
def test_dying_while_parts_are_joined_changes_nothing(store: Store, tmp_path: Path, n_removed: int) -> None:
    folder, path = store.folder(), tmp_path / "ledger.jsonl"
    ledger = open_ledger(path, folder)
    for number in range(4):
        ledger.append(end(number), sync=True)
    small = sorted(folder.files())
    content = path.read_bytes()
    folder.put(Part.of(content, 0).name, content)
    folder.remove(small[:n_removed])
    joined = join_parts(folder)
    assert (joined.content, joined.in_order) == (content, True)
    again = open_ledger(tmp_path / "other.jsonl", folder)
    again.append(end(4), sync=True)
    assert ends(join_parts(folder).content) == [end(number)["trial_id"] for number in range(5)]


def test_parts_that_a_machine_has_are_not_fetched_again(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, path = store.folder(), tmp_path / "ledger.jsonl"
    ledger = open_ledger(path, folder)
    for number in range(3):
        ledger.append(end(number), sync=True)
    fetched = list[str]()
    get = RemoteFolder.get

    def counting(self: RemoteFolder, name: str) -> bytes | None:
        fetched.append(name)
        return get(self, name)

    monkeypatch.setattr(RemoteFolder, "get", counting)
    pull_ledger(folder, path)
    assert fetched == []
    pull_ledger(folder, tmp_path / "other.jsonl")
    assert len(fetched) == 3


def test_a_reader_lists_again_when_parts_are_joined_meanwhile(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, path = store.folder(), tmp_path / "ledger.jsonl"
    ledger = open_ledger(path, folder)
    for number in range(3):
        ledger.append(end(number), sync=True)
    get_all = RemoteFolder.get_all

    def joined_before(self: RemoteFolder, names: Any) -> dict[str, bytes]:
        ledger.close()
        return get_all(self, names)

    monkeypatch.setattr(RemoteFolder, "get_all", joined_before)
    assert join_parts(folder).content == path.read_bytes()
    assert len(folder.files()) == 1


def test_objects_that_are_no_parts_are_left_alone(store: Store, tmp_path: Path) -> None:
    folder = store.folder()
    folder.put("notes.txt", b"mine")
    folder.put("000000000000-000000000003-zzzz.jsonl", b"abc")
    ledger = open_ledger(tmp_path / "ledger.jsonl", folder)
    ledger.append(end(0), sync=True)
    ledger.close()
    assert ends(join_parts(folder).content) == [end(0)["trial_id"]]
    assert {"notes.txt", "000000000000-000000000003-zzzz.jsonl"} < set(folder.files())


def test_a_part_that_is_broken_costs_its_own_lines_only(store: Store, tmp_path: Path) -> None:
    folder, path = store.folder(), tmp_path / "ledger.jsonl"
    ledger = open_ledger(path, folder)
    for number in range(3):
        ledger.append(end(number), sync=True)
    broken = sorted(folder.files())[1]
    folder.put(broken, b"\0" * 10 + b"\n")
    pull_ledger(folder, tmp_path / "other.jsonl")
    reader = LedgerReader(tmp_path / "other.jsonl")
    assert [event["trial_id"] for event in reader] == [end(0)["trial_id"], end(2)["trial_id"]]
    assert reader.broken_lines == 1
    again = open_ledger(tmp_path / "other.jsonl", folder)
    again.append(end(3), sync=True)
    assert ends(join_parts(folder).content) == [end(number)["trial_id"] for number in (0, 2, 3)]
