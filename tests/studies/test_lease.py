from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bsd_core.errors import ConfigError, StorageError
from studies.lease import NAME, Holder, Lease, Timing
from studies.remote_folder import RemoteFolder
from studies.remote_uri import open_remote
from tests.studies._leases import elsewhere, leave_behind
from tests.studies._s3 import Store, Way

QUICK = Timing(renew=0.3, free_after=3.0, settle=0.1)


def tell_nobody(text: str) -> None:
    raise AssertionError(f"nothing to wait for, but: {text}")


@contextmanager
def renewing(folder: RemoteFolder, holder: Holder) -> Iterator[None]:
    """Another machine's process, alive."""
    stop, n = threading.Event(), 0

    def renew_once() -> None:
        nonlocal n
        n += 1
        leave_behind(folder, holder, renewed=n)

    def renew() -> None:
        while not stop.wait(QUICK.renew):
            renew_once()

    renew_once()
    thread = threading.Thread(target=renew)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_lease_is_held_and_given_back(store: Store) -> None:
    folder = store.folder()
    with Lease(folder, QUICK).held(tell_nobody):
        held = json.loads(folder.get(NAME) or b"")
        assert (held["pid"], held["host"]) == (os.getpid(), Holder.this_process().host)
    assert folder.get(NAME) is None
    with Lease(folder, QUICK).held(tell_nobody):
        pass


def test_a_living_process_of_this_machine_is_not_waited_for(store: Store) -> None:
    folder = store.folder()
    with (
        Lease(folder, QUICK).held(tell_nobody),
        pytest.raises(ConfigError, match=rf"is still at work in process {os.getpid()} of '.*'; wait for it\.$"),
        Lease(folder, QUICK).held(tell_nobody),
    ):
        raise AssertionError("two hold it")


def test_a_dead_process_of_this_machine_is_succeeded_at_once(store: Store) -> None:
    folder = store.folder()
    code = "import time; print('up', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        holder = replace(Holder.this_process(), pid=process.pid, began=fields[19])
        leave_behind(folder, holder)
        with pytest.raises(ConfigError, match=f"process {process.pid} of"), Lease(folder, QUICK).held(tell_nobody):
            raise AssertionError("two hold it")
        process.kill()
        while not holder.is_gone():  # a zombie is gone, too: nobody has waited for it yet
            time.sleep(0.01)
        with Lease(folder, QUICK).held(tell_nobody):
            pass
        assert process.returncode is None


def test_a_process_that_has_only_the_number_of_the_dead_one_is_another(store: Store) -> None:
    folder = store.folder()
    leave_behind(folder, replace(Holder.this_process(), began="1"))
    with Lease(folder, QUICK).held(tell_nobody):
        pass


def test_a_living_process_of_another_machine_is_found_out(store: Store) -> None:
    folder, told = store.folder(), list[str]()
    with (
        renewing(folder, elsewhere()),
        pytest.raises(ConfigError, match=r"still at work in process \d+ of 'other-host'; wait for it\.$"),
        Lease(folder, QUICK).held(told.append),
    ):
        raise AssertionError("two hold it")
    assert len(told) <= 1


def test_a_dead_one_of_another_machine_is_waited_out_and_said(store: Store) -> None:
    folder, told = store.folder(), list[str]()
    leave_behind(folder, elsewhere())
    with Lease(folder, QUICK).held(told.append):
        assert json.loads(folder.get(NAME) or b"")["pid"] == os.getpid()
    assert len(told) == 1
    assert told[0].endswith(" s at most.")
    assert "of 'other-host' held this run" in told[0]


def test_one_that_is_long_dead_is_not_waited_for(store: Store) -> None:
    folder = store.folder()
    leave_behind(folder, elsewhere())
    time.sleep(2.1)  # the store's clock counts seconds
    with Lease(folder, replace(QUICK, free_after=1.0)).held(tell_nobody):
        pass


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"pid": "x"}', b"\xff\xff"])
def test_a_lease_that_nobody_of_us_wrote_is_waited_out(content: bytes, store: Store) -> None:
    folder, told = store.folder(), list[str]()
    folder.put(NAME, content)
    with Lease(folder, replace(QUICK, free_after=1.0)).held(told.append):
        pass
    assert len(told) <= 1


def test_who_was_taken_over_finds_out_before_it_writes(store: Store) -> None:
    folder = store.folder()
    lease = Lease(folder, QUICK)
    with lease.held(tell_nobody):
        lease.check()
        leave_behind(folder, elsewhere())
        time.sleep(QUICK.free_after / 2 + 0.1)
        with pytest.raises(StorageError, match="another process has taken over this run"):
            lease.check()
    assert json.loads(folder.get(NAME) or b"")["token"] == "theirs"


def test_who_was_away_for_long_looks_first(store: Store) -> None:
    folder = store.folder()
    lease = Lease(folder, replace(QUICK, renew=1000.0, free_after=0.2))
    with lease.held(tell_nobody):
        leave_behind(folder, elsewhere())  # while this process was asleep
        time.sleep(0.2)
        with pytest.raises(StorageError, match="another process has taken over this run"):
            lease.check()


def test_who_was_taken_over_by_one_who_has_finished_finds_out_too(store: Store) -> None:
    folder = store.folder()
    lease = Lease(folder, replace(QUICK, renew=1000.0, free_after=0.2))
    with lease.held(tell_nobody):
        folder.remove([NAME])  # while this process was asleep another has held it, and given it back
        time.sleep(0.2)
        with pytest.raises(StorageError, match="another process has taken over this run"):
            lease.check()
    assert folder.get(NAME) is None


def test_a_lease_outlives_a_store_that_is_away_for_a_moment(store: Store) -> None:
    way = Way(store.port)
    folder = open_remote(store.uri("lease-away", port=way.port), {})
    lease = Lease(folder, QUICK)
    with lease.held(tell_nobody):
        way.cut()
        time.sleep(1.0)
        way.mend()
        lease.check()
        with pytest.raises(ConfigError, match="still at work"), Lease(folder, QUICK).held(tell_nobody):
            raise AssertionError("two hold it")
    way.cut()
