"""A Ray cluster of several nodes on this machine, on the loopback interface alone: `python -m studies.local_cluster start | stop | status`.

Every node is a session of its own (in the sense of setsid), in which its raylet, its agents and the trials' processes all stay: what must
be stopped is known without looking for names, and other Rays on this machine are left alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, NoReturn

from bsd_core.errors import BSDError, ConfigError
from studies.loopback import LOOPBACK
from studies.ray_node import StartingNode, start_node
from studies.sessions import command_line, kill_sessions, members

_STORE_SHARE: Final = 0.3  # of the memory, for the object stores of all nodes together, as Ray takes for one


@dataclass(frozen=True)
class LocalCluster:
    """What was started.

    Attributes:
        address: host:port of the head.
        folder: of Ray's own temporary files; stands in the command lines of its processes.
        sessions: ids, the head's first.
    """

    address: str
    folder: str
    sessions: tuple[int, ...]


def default_state() -> Path:
    """The folder that remembers the cluster of this user."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "bsd-study" / "cluster"


def running_cluster(state: Path | None = None) -> LocalCluster | None:
    """The cluster that was started and not stopped, if any of its nodes still lives."""
    try:
        record = json.loads(_record(state or default_state()).read_text(encoding="utf-8"))
        cluster = LocalCluster(str(record["address"]), str(record["folder"]), tuple(map(int, record["sessions"])))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return cluster if any(_is_alive(cluster, session) for session in cluster.sessions) else None


def start_cluster(state: Path | None = None, *, n_nodes: int = 3, cpus: int = 1) -> LocalCluster:
    """Start a head and `n_nodes` - 1 further nodes, and wait until all are there.

    Args:
        state: folder that remembers what was started.
        n_nodes: with the head.
        cpus: of each; they are a number that Ray counts with, and may be more than there are.

    Raises:
        ConfigError: one runs already, a number is impossible, or Ray does not start.
    """
    if n_nodes < 1 or cpus < 0:
        raise ConfigError(f"A cluster has at least 1 node, of at least 0 CPUs, but got {n_nodes} nodes of {cpus} CPUs.")
    state = state or default_state()
    if (running := running_cluster(state)) is not None:
        raise ConfigError(
            f"A cluster of {_nodes(len(running.sessions))} runs already at {running.address}. Use it with RAY_ADDRESS=auto, "
            "or stop it first: make cluster-stop"
        )
    state.mkdir(parents=True, exist_ok=True)
    store = int(_STORE_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / n_nodes)
    environment = _with_token(os.environ)
    cluster = LocalCluster(f"{LOOPBACK}:{_free_port()}", tempfile.mkdtemp(prefix="bsd-ray-"), ())
    nodes: dict[int, StartingNode] = {}

    def start(number: int) -> None:
        nodes[number] = start_node(number, cluster.address, cluster.folder, cpus=cpus, store_bytes=store, environment=environment)
        _remember(state, replace(cluster, sessions=tuple(node.session for node in nodes.values())))

    def wait(number: int) -> None:
        try:
            nodes[number].wait()
        except ConfigError:  # Ray gives a node 30 s to join, which can be too little on a busy machine: once more
            nodes[number].end()
            start(number)
            nodes[number].wait()

    try:
        start(0)
        wait(0)
        for number in range(1, n_nodes):
            start(number)
        for number in range(1, n_nodes):
            wait(number)
    except BaseException:
        for node in nodes.values():
            node.end()
        shutil.rmtree(cluster.folder, ignore_errors=True)
        _record(state).unlink(missing_ok=True)
        raise
    return replace(cluster, sessions=tuple(node.session for node in nodes.values()))


def stop_cluster(state: Path | None = None) -> LocalCluster | None:
    """Stop the nodes that were started, and nothing else; what was stopped."""
    state = state or default_state()
    cluster = running_cluster(state)
    if cluster is not None:
        kill_nodes(cluster, *range(len(cluster.sessions)))
        shutil.rmtree(cluster.folder, ignore_errors=True)
    _record(state).unlink(missing_ok=True)
    return cluster


def kill_nodes(cluster: LocalCluster, *indices: int) -> None:
    """End all processes of these nodes at once, by SIGKILL; the head is number 0."""
    kill_sessions(session for session in map(cluster.sessions.__getitem__, indices) if _is_alive(cluster, session))


def _is_alive(cluster: LocalCluster, session: int) -> bool:
    """Whether the session is still this cluster's: an id may come back for processes of other people."""
    return any(cluster.folder in command_line(pid) for pid in members(session))


def _with_token(environment: Mapping[str, str]) -> dict[str, str]:
    """With Ray's token asked for, and made in the place where Ray looks for it if there is none, as a local Ray does."""
    if environment.get("RAY_AUTH_MODE"):
        return dict(environment)
    told = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & environment.keys()
    file = Path.home() / ".ray" / "auth_token"
    if not told and not file.exists():
        file.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError), open(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as sink:
            sink.write(secrets.token_hex(32))
    return {**environment, "RAY_AUTH_MODE": "token"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _record(state: Path) -> Path:
    return state / "cluster.json"


def _remember(state: Path, cluster: LocalCluster) -> None:
    new = _record(state).with_suffix(".new")
    new.write_text(json.dumps(asdict(cluster)), encoding="utf-8")
    new.replace(_record(state))


def _nodes(n: int) -> str:
    return "1 node" if n == 1 else f"{n} nodes"


def describe(cluster: LocalCluster | None) -> list[str]:
    """What to say of it, line by line."""
    if cluster is None:
        return ["No cluster runs. Start one: make cluster"]
    living = sum(_is_alive(cluster, session) for session in cluster.sessions)
    return [
        f"A Ray cluster runs on this machine at {cluster.address}: {living} of {_nodes(len(cluster.sessions))} alive.",
        "Use it:   make study STUDY=quick RAY_ADDRESS=auto",
        "Stop it:  make cluster-stop",
    ]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}. See python -m studies.local_cluster --help")


def main() -> None:
    """Run the command line; a problem is one line on standard error and exit code 2."""
    parser = _Parser(prog="python -m studies.local_cluster", description="A Ray cluster of several nodes on this machine.")
    parser.add_argument("action", choices=("start", "stop", "status"))
    parser.add_argument("--nodes", type=int, default=3, help="with the head (default: 3)")
    parser.add_argument("--cpus", type=int, default=1, help="of each node, as Ray counts (default: 1)")
    try:
        chosen = parser.parse_args()
        if chosen.action == "stop":
            stopped = stop_cluster()
            lines = ["No cluster of make cluster runs."] if stopped is None else [f"Stopped {_nodes(len(stopped.sessions))}."]
        else:
            lines = describe(start_cluster(n_nodes=chosen.nodes, cpus=chosen.cpus) if chosen.action == "start" else running_cluster())
    except BSDError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
