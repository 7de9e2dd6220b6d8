"""Real Ray clusters of several nodes on this machine, each node a session of real processes that a test can kill."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from studies.local_cluster import LocalCluster, kill_nodes, start_cluster
from studies.ray_node import start_node
from studies.sessions import kill_sessions, members
from tests.studies._real_runs import command

TOKEN = "0123456789abcdef" * 4


@dataclass
class Cluster:
    """A cluster at work; `address` is for RAY_ADDRESS."""

    local: LocalCluster

    @property
    def address(self) -> str:
        return self.local.address

    def environment(self, **more: str) -> dict[str, str]:
        """For `python -m studies` that uses this cluster."""
        return {**os.environ, "COLUMNS": "80", "RAY_ADDRESS": self.address, "RAY_AUTH_TOKEN": TOKEN, **more}

    def processes(self, node: int) -> list[int]:
        """Ids of all processes of a node, with those of its trials; 0 is the head."""
        return members(self.local.sessions[node])

    def kill_node(self, node: int) -> None:
        """What a machine without power does: all its processes end at once, by SIGKILL."""
        kill_nodes(self.local, node)

    def add_node(self, *, cpus: int = 1, inside: Sequence[str] = (), **environment: str) -> int:
        """One more node; its number."""
        number = len(self.local.sessions)
        settings = {**os.environ, "RAY_AUTH_TOKEN": TOKEN, "RAY_AUTH_MODE": "token", **environment}
        node = start_node(number, self.address, self.local.folder, cpus=cpus, environment=settings, inside=inside)
        self.local = replace(self.local, sessions=(*self.local.sessions, node.session))
        node.wait()
        return number


@contextmanager
def cluster(n_nodes: int = 3, cpus: int = 1) -> Iterator[Cluster]:
    """A cluster of its own, with a token of its own, ended with all that it started."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN", TOKEN)
        patch.delenv("RAY_AUTH_MODE", raising=False)
        there = Cluster(start_cluster(Path(folder), n_nodes=n_nodes, cpus=cpus))
    try:
        yield there
    finally:
        kill_sessions(there.local.sessions)
        shutil.rmtree(there.local.folder, ignore_errors=True)


def run_on(there: Cluster, *arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m studies ...` on the cluster, to its end."""
    settings = there.environment(**environment)
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=300, env=settings, cwd=cwd, check=False)
