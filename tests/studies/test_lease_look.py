"""Looking at a lease: what is seen, and that nothing is written."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from studies import lease_look
from studies.lease import NAME, Holder, Timing
from studies.lease_look import LeaseLook
from studies.remote_folder import RemoteFolder
from tests.studies._leases import elsewhere, leave_behind, read_only
from tests.studies._s3 import Store

QUICK = Timing(renew=0.3, free_after=0.5, settle=0.1)


def test_one_that_is_renewed_elsewhere_is_held_and_looking_writes_nothing(store: Store) -> None:
    folder = store.folder()
    assert not LeaseLook(folder).is_held()
    leave_behind(folder, elsewhere())
    before = folder.files()
    with read_only():
        assert LeaseLook(folder).is_held()
    assert folder.files() == before


def test_processes_of_this_machine_are_looked_up(store: Store) -> None:
    folder = store.folder()
    leave_behind(folder, Holder.this_process())
    assert LeaseLook(folder, replace(QUICK, free_after=0.0)).is_held()
    leave_behind(folder, replace(Holder.this_process(), began="1"))
    assert not LeaseLook(folder).is_held()


def test_one_that_nobody_renews_is_free_until_somebody_does(store: Store) -> None:
    folder = store.folder()
    leave_behind(folder, elsewhere())
    look = LeaseLook(folder, replace(QUICK, free_after=2.0), every=0.0)  # the store's clock counts seconds
    assert look.is_held()
    time.sleep(2.1)
    assert not look.is_held()
    leave_behind(folder, elsewhere(), renewed=1)
    assert look.is_held()
    folder.remove([NAME])
    assert not look.is_held()


@pytest.mark.parametrize("ahead", [timedelta(hours=1), -timedelta(hours=1)])
def test_a_clock_that_is_wrong_matters_at_the_first_look_alone(store: Store, monkeypatch: pytest.MonkeyPatch, ahead: timedelta) -> None:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + ahead

    monkeypatch.setattr(lease_look, "datetime", Wrong)
    folder = store.folder()
    leave_behind(folder, elsewhere())
    look = LeaseLook(folder, QUICK, every=0.0)
    assert look.is_held() == (ahead < timedelta(0))
    leave_behind(folder, elsewhere(), renewed=1)
    assert look.is_held()
    time.sleep(QUICK.free_after + 0.1)
    assert not look.is_held()


def test_a_store_is_not_asked_each_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, asked = store.folder(), list[str]()
    get = RemoteFolder.get

    def counted(self: RemoteFolder, name: str) -> bytes | None:
        asked.append(name)
        return get(self, name)

    monkeypatch.setattr(RemoteFolder, "get", counted)
    leave_behind(folder, elsewhere())
    look = LeaseLook(folder, every=0.3)
    assert all(look.is_held() for _ in range(20))
    assert asked == [NAME]
    time.sleep(0.35)
    folder.remove([NAME])
    assert not look.is_held()
    assert asked == [NAME, NAME]
