"""Leases that others hold, or have left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

import pytest

from bsd_core.errors import StorageError
from studies.lease import NAME, Holder
from studies.remote_folder import RemoteFolder


def leave_behind(folder: RemoteFolder, holder: Holder, *, renewed: int = 0) -> None:
    """Write a lease as its holder does."""
    folder.put(NAME, json.dumps(asdict(holder) | {"renewed": f"{renewed:020}"}).encode())


def elsewhere() -> Holder:
    """A process of another machine."""
    return replace(Holder.this_process(), host="other-host", machine="other-machine/pid:[1]", token="theirs")


@contextmanager
def read_only() -> Iterator[None]:
    """As with keys of an object store that may only read."""

    def refuse(self: RemoteFolder, *_: object) -> None:
        raise StorageError(f"{self.uri}: access denied.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RemoteFolder, "put", refuse)
        patch.setattr(RemoteFolder, "remove", refuse)
        yield
