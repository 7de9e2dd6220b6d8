from __future__ import annotations

import fcntl
import json
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from bsd_core.errors import ConfigError, StorageError
from studies import lease
from studies.lease import Holder
from studies.mirror import Mirror, working_copy
from studies.remote_folder import RemoteFolder
from studies.remote_ledger import join_parts
from studies.run_folder import RunFolder, check_writable, create_run
from studies.run_names import find_run
from tests.studies._dummies import make_end, make_events, make_spec, make_suggest
from tests.studies._s3 import Store


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def other_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, this process has the cache of another machine."""
    return lambda: monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))


def mirror_of(run: RunFolder) -> Mirror:
    assert run.mirror is not None
    return run.mirror


def end(number: int) -> dict[str, Any]:
    return make_end("bsd/none", number, 0.9, 0.1)


# --- runs


def test_a_new_run_is_in_the_store_and_found_from_another_machine(store: Store, other_machine: Callable[[], None]) -> None:
    results = store.folder()
    check_writable(results)
    run = create_run(results, "group/mine", make_spec())
    assert set(results.files()) == {f"group/mine/{run.run_id}/study.yaml", "group/mine/latest"}
    assert results.get("group/mine/latest") == run.run_id.encode()
    other_machine()
    uri = str(results / "group" / "mine" / run.run_id)
    for name in ("group/mine", uri, uri.replace(run.run_id, "latest")):
        found = find_run(results, name)
        assert (found.run_id, found.spec(), str(found.place)) == (run.run_id, make_spec(), uri)
        assert found.path != run.path
    assert find_run(results, "group/mine").study == "group/mine"


def test_the_working_copy_is_the_same_however_a_run_is_named(store: Store) -> None:
    results = store.folder()
    run = create_run(results, "mine", make_spec())
    assert find_run(results, "mine").path == find_run(Path("elsewhere"), str(run.place)).path == run.path


def test_the_newest_run_is_found_where_latest_is_lost(store: Store) -> None:
    results = store.folder()
    run = create_run(results, "mine", make_spec())
    results.put(f"mine/20200101T000000Z-ffffff/{'study.yaml'}", (run.path / "study.yaml").read_bytes())
    for lost in (b"../../x", b"20200101T000000Z-000000", b""):
        results.put("mine/latest", lost)
        assert find_run(results, "mine").run_id == run.run_id


def test_an_unknown_run_says_what_there_is(store: Store) -> None:
    results = store.folder()
    with pytest.raises(ConfigError, match=r"^No run of 'nope' in 's3://.*'\. There are no runs yet"):
        find_run(results, "nope")
    for study in ("mine", "group/other"):
        create_run(results, study, make_spec())
    with pytest.raises(ConfigError, match=r"There are runs of group/other, mine\.$"):
        find_run(results, "nope")
    with pytest.raises(ConfigError, match=r"^No run in 's3://.*': there is no study\.yaml"):
        find_run(results, str(results / "mine" / "20200101T000000Z-ffffff"))


def test_a_cache_that_cannot_be_written_is_said(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create_run(store.folder(), "mine", make_spec())
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(StorageError, match=r"^Cannot work in '.*/file/bsd-study/.*Set XDG_CACHE_HOME\.$"):
        find_run(Path("x"), str(run.place))
    with pytest.raises(StorageError, match=r"^Cannot write results in '.*/file/bsd-study/"):
        create_run(store.folder(), "mine", make_spec())


def test_an_odd_xdg_cache_home_is_not_used(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert working_copy(store.folder("x")).is_relative_to(tmp_path / ".cache" / "bsd-study")


# --- keeping in step


def test_what_is_held_is_sent_and_what_is_gone_is_removed(store: Store, other_machine: Callable[[], None]) -> None:
    results = store.folder()
    run = create_run(results, "mine", make_spec())
    (run.path / "report").mkdir()
    with run.lock():
        for name in ("tables/trials.parquet", "report/statistics.json", "run.log", "ray/search/x", "checkpoints/t/y", ".hidden", "a.tmp"):
            (run.path / name).parent.mkdir(parents=True, exist_ok=True)
            (run.path / name).write_text(name, encoding="utf-8")
        run.push()
        (run.path / "report" / "statistics.json").unlink()
        (run.path / "tables" / "trials.parquet").write_text("anew", encoding="utf-8")
        run.push()
    there = (results / "mine" / run.run_id).files()
    assert set(there) == {"study.yaml", "tables/trials.parquet", "run.log"}
    other_machine()
    assert (find_run(results, "mine").tables / "trials.parquet").read_text(encoding="utf-8") == "anew"


@pytest.mark.parametrize("kind", ["predictions", "features"])
def test_what_a_trial_keeps_is_in_the_store_before_its_end(kind: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create_run(store.folder(), "mine", make_spec())
    order = list[str]()
    put = RemoteFolder.put

    def noting(self: RemoteFolder, name: str, content: Any) -> None:
        put(self, name, content)
        order.append(f"{self.name}/{name}")

    with run.lock():
        ledger = run.open_ledger()
        monkeypatch.setattr(RemoteFolder, "put", noting)
        (run.tables / kind).mkdir(parents=True)
        (run.tables / kind / f"{end(0)['trial_id']}.parquet").write_bytes(b"numbers")
        ledger.append(make_suggest("bsd/none", 0))
        ledger.append(end(0), sync=True)
        monkeypatch.undo()
        ledger.close()
    assert order[0] == f"{run.run_id}/tables/{kind}/{end(0)['trial_id']}.parquet"
    assert order[1].startswith("ledger/000000000000-")


@pytest.mark.parametrize("kind", ["predictions", "features"])
def test_what_a_trial_keeps_is_written_and_fetched_once(kind: str, store: Store, other_machine: Callable[[], None]) -> None:
    results = store.folder()
    run = create_run(results, "mine", make_spec())
    with run.lock():
        (run.tables / kind).mkdir(parents=True)
        (run.tables / kind / "t.parquet").write_bytes(b"numbers")
        run.push()
        before = (results / "mine" / run.run_id).written(f"tables/{kind}/t.parquet")
        run.push()
        assert (results / "mine" / run.run_id).written(f"tables/{kind}/t.parquet") == before
    other_machine()
    copy = find_run(results, "mine")
    (copy.tables / kind / "t.parquet").write_bytes(b"NUMBERS")  # of the same size
    assert (find_run(results, "mine").tables / kind / "t.parquet").read_bytes() == b"NUMBERS"


def test_names_of_a_stranger_stay_inside_the_working_copy(store: Store, cache: Path, other_machine: Callable[[], None]) -> None:
    results = store.folder()
    run = create_run(results, "mine", make_spec())
    remote = results / "mine" / run.run_id
    for name in (
        "../../../evil",
        "tables/../../evil",
        "a\\..\\evil",
        ".lock",
        ".ssh/keys",
        "tables/.evil",
        "ray/evil",
        "ev\x07il",
    ):
        remote.filesystem.open_output_stream(f"{remote.path}/{name}").close()
    empty = urllib.request.Request(f"http://127.0.0.1:{store.port}/{remote.path}//evil", method="PUT", data=b"")
    urllib.request.urlopen(empty).close()
    remote.put("notes.txt", b"")
    other_machine()
    copy = find_run(results, "mine")
    assert {path.name for path in copy.path.rglob("*") if path.is_file()} == {"study.yaml", "notes.txt", ".lock", ".pull"}
    assert not list(cache.parent.rglob("*evil*"))


def test_a_run_that_goes_on_on_this_machine_is_not_pulled_over(store: Store) -> None:
    results = store.folder()
    run = create_run(results, "mine", make_spec())
    with run.lock():
        (run.path / "run.log").write_text("newer", encoding="utf-8")
        mirror_of(run).remote.put("run.log", b"older")
        ledger = run.open_ledger()
        ledger.append(make_suggest("bsd/none", 0))
        assert (find_run(results, "mine").path / "run.log").read_text(encoding="utf-8") == "newer"
        assert find_run(results, "mine").ledger.stat().st_size > 0
        ledger.close()
    assert (find_run(results, "mine").path / "run.log").read_text(encoding="utf-8") == "older"


def test_a_run_is_held_by_one_process_of_one_machine(store: Store, other_machine: Callable[[], None]) -> None:
    results = store.folder()
    run = create_run(results, "mine", make_spec())
    with run.lock():
        with pytest.raises(ConfigError, match="still at work in another process"), find_run(results, "mine").lock():
            raise AssertionError("two hold it")
        other_machine()
        with pytest.raises(ConfigError, match=r"still at work in process \d+ of"), find_run(results, "mine").lock():
            raise AssertionError("two hold it")
    with find_run(results, "mine").lock():
        pass


def test_the_lock_of_this_machine_outlives_the_taking_of_it(store: Store) -> None:
    run = create_run(store.folder(), "mine", make_spec())
    with run.lock(), (run.path / ".lock").open("w") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with (run.path / ".pull").open("w") as door:
            fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_who_lost_the_run_writes_nothing_more(store: Store) -> None:
    run = create_run(store.folder(), "mine", make_spec())
    remote = mirror_of(run).remote
    with run.lock():
        ledger = run.open_ledger()
        ledger.append(end(0), sync=True)
        theirs = replace(Holder.this_process(), machine="other", token="theirs")
        remote.put(lease.NAME, json.dumps(asdict(theirs)).encode())
        lease_of_run = mirror_of(run)._lease
        assert lease_of_run is not None
        lease_of_run._renewed = 0.0  # as if this process had been asleep
        with pytest.raises(StorageError, match="another process has taken over this run"):
            ledger.append(end(1), sync=True)
        with pytest.raises(StorageError, match="another process has taken over this run"):
            run.push()
        ledger.close()
    assert join_parts(remote / "ledger").content.count(b"\n") == 1


# --- what a command makes of a run that it does not hold


def test_what_a_command_makes_is_shared_unless_that_would_disturb_anyone(store: Store, other_machine: Callable[[], None]) -> None:
    results = store.folder()
    run = create_run(results, "mine", make_spec())
    remote = mirror_of(run).remote
    with run.lock():
        ledger = run.open_ledger()
        ledger.append(end(0), sync=True)
        (run.path / "front").write_text("mine", encoding="utf-8")
        assert run.share() == "the run is still at work"
        other_machine()
        found = find_run(results, "mine")
        (found.path / "front").write_text("theirs", encoding="utf-8")
        assert str(found.share()).startswith(f"Run {run.run_id} is still at work in process")
        ledger.append(end(1), sync=True)
        ledger.close()
    assert found.share() == "the run has gone on"
    assert remote.get("front") is None
    found = find_run(results, "mine")
    (found.path / "report/data").mkdir(parents=True)
    for name in ("front", "features"):
        (found.path / f"report/data/{name}.csv").write_text(name, encoding="utf-8")
    assert found.share() is None
    assert remote.get("front") == b"theirs"
    (found.path / "report/data/features.csv").unlink()
    (found.path / "front").unlink()
    assert found.share() is None
    assert (remote.get("front"), remote.get("report/data/front.csv")) == (b"theirs", b"front")
    assert remote.get("report/data/features.csv") is None
    assert remote.get(lease.NAME) is None


def test_a_run_in_a_folder_has_nothing_to_share_or_send(tmp_path: Path) -> None:
    run = create_run(tmp_path, "mine", make_spec())
    assert (run.share(), run.place) == (None, run.path)
    run.push()


def test_a_ledger_that_was_brought_here_is_that_of_the_run(store: Store, other_machine: Callable[[], None]) -> None:
    results = store.folder()
    run = create_run(results, "mine", make_spec())
    with run.lock():
        ledger = run.open_ledger()
        for event in make_events(("bsd/none", 0, 0.9, 0.1), ("bsd/none", 1, 0.8, 0.2)):
            ledger.append(event, sync=event["event"] == "end")
        ledger.close()
    other_machine()
    assert find_run(results, "mine").ledger.read_bytes() == run.ledger.read_bytes()
